"""Normal densities and mixtures: posteriors, denoisers and densities beside linear algebra."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import invgen as ig
from benchmarks.report import Report, relative
from invgen.operators import MatrixOperator
from invgen.priors import Diffusion, Gaussian, GaussianMixture
from invgen.priors.densities.covariances import LowRank, Stationary
from invgen.priors.diffusion import parametrizations

SHAPE = (8, 8)
N = 64
SIGMAS = (0.01, 0.1, 1.0, 10.0)


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _dense() -> Tensor:
    root = _normal(N, N, seed=0) / N**0.5
    return root @ root.T + 0.05 * torch.eye(N, dtype=torch.float64)


def _covariances() -> dict[str, tuple[object, Tensor]]:
    """Each kind, as it is given and as a matrix that is written down without the package."""
    variances, factors = 0.1 + _normal(*SHAPE, seed=1).square(), _normal(3, *SHAPE, seed=2)
    power = _normal(*SHAPE, seed=3).abs() + 0.1
    power = power + torch.roll(power.flip((0, 1)), (1, 1), (0, 1))
    waves = torch.fft.fftn(torch.eye(N, dtype=torch.complex128).reshape(N, *SHAPE), dim=(1, 2), norm="ortho")
    waves = waves.reshape(N, N)
    rows, diagonal = factors.flatten(1), torch.diag(variances.flatten())
    return {
        "diagonal": (variances, diagonal),
        "dense": (_dense(), _dense()),
        "low rank": (LowRank(factors, variances), rows.T @ rows + diagonal),
        "stationary": (Stationary(power), (waves.conj() * power.flatten() @ waves.T).real),
    }


def posteriors(report: Report) -> None:
    """The posterior of 64 pixels from 40 noisy numbers, by the covariance of the measurement."""
    A, std, mean = _normal(40, N, seed=4), 0.1 + _normal(40, seed=5).abs(), _normal(N, seed=6)
    y = A @ mean + _normal(40, seed=7)
    problem = ig.Problem(MatrixOperator(A, SHAPE), y, ig.noise.Gaussian(std))
    for kind, (covariance, C) in _covariances().items():
        found = Gaussian(mean.reshape(SHAPE), covariance).posterior(problem)
        gain = C @ A.T @ torch.linalg.inv(A @ C @ A.T + torch.diag(std**2))
        errors = (
            relative(found.means[0].flatten(), mean + gain @ (y - A @ mean)),
            relative(found.covariance(), C - gain @ A @ C),
        )
        report.row(
            f"posterior of a Gaussian, {kind}: mean and covariance",
            ", ".join(f"{error:.1e}" for error in errors),
            "1e-8",
            max(errors) < 1e-8,
        )


class _Exact(nn.Module):
    """A network that is right: what is wanted of it, from the closed-form denoiser."""

    def __init__(self, prior: GaussianMixture, wanted: str) -> None:
        super().__init__()
        self.prior, self.wanted = prior, wanted

    def forward(self, seen: Tensor, sigma: Tensor, label: object = None, extra: object = None) -> Tensor:
        s = sigma[:, None, None, None]
        scale = {"flow": 1 / (1 + s), "score": torch.ones_like(s), "denoiser": torch.ones_like(s)}
        alpha = scale.get(self.wanted, (1 + s * s).rsqrt())
        x0 = self.prior.denoise(seen[:, 0] / alpha[:, 0], sigma)[:, None]
        noise = (seen - alpha * x0) / (alpha * s)
        return {
            "noise": noise,
            "image": x0,
            "velocity": alpha * noise - alpha * s * x0,
            "score": -noise / s,
            "flow": noise - x0,
            "denoiser": x0,
        }[self.wanted]


def conversions(report: Report) -> None:
    """Every parametrisation of an exact network as a denoiser, in single precision."""
    formulas = {
        "noise": parametrizations.NoisePrediction,
        "image": parametrizations.ImagePrediction,
        "velocity": parametrizations.VelocityPrediction,
        "score": parametrizations.ScorePrediction,
        "flow": parametrizations.FlowPrediction,
    }
    means, weights = _normal(3, *SHAPE, seed=8) / 2, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    priors = {
        "Gaussian": Gaussian(means[0], _dense()),
        "mixture": GaussianMixture(means, 0.02 + _normal(3, *SHAPE, seed=9).square(), weights),
    }
    x = priors["mixture"].sample(4, seed=0)
    for name, prior in priors.items():
        for wanted, formula in formulas.items():
            denoiser = Diffusion(
                formula(_Exact(prior, wanted), parametrizations.SigmaTimes()), value_range=(-1.0, 1.0)
            )
            errors = []
            for sigma in SIGMAS:
                noisy = x + sigma * _normal(*x.shape, seed=10)
                errors.append(
                    relative(denoiser.denoise(noisy.float(), sigma).double(), prior.denoise(noisy, sigma))
                )
            report.row(
                f"denoiser from exact {wanted}, {name}, sigma {SIGMAS[0]} to {SIGMAS[-1]:g}",
                f"{max(errors):.1e}",
                "1e-5",
                max(errors) < 1e-5,
            )


def densities(report: Report) -> None:
    """The density along the probability flow of an exact denoiser."""
    prior = Gaussian(_normal(*SHAPE, seed=11) / 2, _dense())
    model = Diffusion(_Exact(prior, "denoiser"), SHAPE, value_range=(-1.0, 1.0), sigma_data=1.0)
    x = prior.sample(8, seed=1)
    exact = prior.log_prob(x)
    found = model.log_prob_estimate(x, probes=64)
    error = float((found.value - exact).abs().mean() / exact.abs().mean())
    report.row("`Diffusion.log_prob` of a Gaussian's denoiser", f"{100 * error:.2f} %", "1 %", error < 0.01)
    deviation = float(((found.value - exact) / found.standard_error).square().mean().sqrt())
    report.row("its errors in units of the standard error that it states", f"{deviation:.2f}")
