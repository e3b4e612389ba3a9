"""Plug-and-play: its fixed points where theory knows them, what diverges, and images that it restores."""

from dataclasses import dataclass

import pytest
import torch

import invgen as ig
from invgen.noise import Gaussian, Poisson
from invgen.operators import Blur, Identity, Mask, MatrixOperator, Saturation, kernels
from invgen.priors import (
    CycleSpunWavelets,
    NetworkDenoiser,
    NonLocalMeans,
    ProxDenoiser,
    Tikhonov,
    TotalVariation,
    Wavelet,
)
from invgen.priors.base import Denoising
from invgen.solvers import CG, FISTA, PDHG, PnPADMM, PnPHQS, PnPPGD
from invgen.testing.report import distance


def two_parts(n=32):
    x = torch.full((n, n), 0.2, dtype=torch.float64)
    x[:, n // 2 :] = 0.8
    x[n // 4 : n // 2, n // 4 : n // 2] = 1.0
    return x


def blurred(n=16, std=0.05, factor=1.0, width=1.0):
    x = two_parts(n)
    A, noise = Blur(x.shape, kernels.gaussian_kernel(width)), Gaussian(std)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise).scaled(factor), x


@dataclass(frozen=True)
class Multiple(Denoising):
    """``factor x`` around the mean of the image: apart from one below it contracts, above it expands."""

    factor: float

    def _denoise(self, x, sigma):
        mean = x.mean((-2, -1), keepdim=True)
        return mean + self.factor * (x - mean)


@dataclass(frozen=True)
class Wiener(Denoising):
    """The denoiser of white images of variance one."""

    def _denoise(self, x, sigma):
        return x / (1 + sigma**2)


@pytest.mark.parametrize(
    ("method", "options"),
    [(PnPPGD, {"iterations": 1000}), (PnPADMM, {"sigma": 0.2, "iterations": 300})],
)
def test_with_a_proximal_map_it_ends_at_the_variational_minimiser(method, options):
    problem, _ = blurred(std=0.1, width=0.5)
    prior = Wavelet(1.0, "haar", levels=2)
    expected = FISTA(prior, iterations=5000, tolerance=1e-10)(problem).x
    found = method(ProxDenoiser(prior), tolerance=1e-8, **options)(problem)
    assert found.stats["converged"]
    assert distance(found.x, expected) < 1e-5


def test_with_the_iterated_map_of_total_variation_it_ends_at_the_minimiser():
    problem, _ = blurred(n=8, std=0.1, width=0.5)
    prior = TotalVariation(1.0)
    expected = PDHG(prior, iterations=20000, tolerance=1e-9)(problem).x
    denoiser = ProxDenoiser(prior, tolerance=1e-7)
    found = PnPADMM(denoiser, sigma=0.2, tolerance=1e-7, iterations=100)(problem).x
    assert distance(found, expected) < 1e-5


@pytest.mark.parametrize("method", [PnPADMM, PnPPGD])
def test_with_wieners_filter_it_ends_at_the_posterior_mean(method):
    """Images of variance one, and any weight: the filter is the proximal map of ``|x|^2 / 2``."""
    problem, _ = blurred(std=0.3)
    expected = CG(weight=0.7, tolerance=1e-12)(problem).x
    solver = method(Wiener(), weight=0.7, tolerance=1e-9, iterations=3000, scale=1.0)
    assert distance(solver(problem).x, expected) < 1e-6


def test_admm_with_weighted_data_ends_at_the_minimiser_too():
    x = two_parts(12)
    std = torch.linspace(0.1, 0.3, 144, dtype=torch.float64).reshape(12, 12)
    std[3, 4:9] = torch.inf
    problem = ig.Problem(Identity(x.shape), Gaussian(std).sample(x, seed=0), Gaussian(std))
    expected = CG(weight=2.0, tolerance=1e-13)(problem).x
    found = PnPADMM(ProxDenoiser(Tikhonov(2.0)), tolerance=1e-10, iterations=1000)(problem).x
    assert distance(found, expected) < 1e-7


@pytest.mark.parametrize("method", [PnPADMM, PnPPGD])
def test_a_denoiser_that_expands_diverges_and_the_error_says_what_to_do(method):
    problem, _ = blurred()
    with pytest.raises(ig.errors.DivergenceError, match=r"iteration \d+.*PnPHQS.*smaller sigma.*averaged"):
        method(Multiple(5.0), iterations=1000)(problem)


@pytest.mark.parametrize("method", [PnPADMM, PnPPGD])
def test_a_denoiser_that_contracts_converges(method):
    problem, _ = blurred()
    result = method(Multiple(0.5), iterations=1000, tolerance=1e-6)(problem)
    assert result.stats["converged"]
    assert result.history["optimality"][-1] <= 1e-6


def test_the_soft_cycle_spun_wavelets_converge():
    """They are an average of proximal maps, which is one (Moreau 1965)."""
    problem, _ = blurred(32)
    result = PnPADMM(CycleSpunWavelets(soft=True), iterations=500, tolerance=1e-5)(problem)
    assert result.stats["converged"]


@pytest.mark.parametrize("method", [PnPHQS, PnPADMM])
@pytest.mark.parametrize(
    "operator",
    [Blur((64, 64), kernels.gaussian_kernel(1.5)), Mask(torch.arange(4096).reshape(64, 64) % 3 != 1)],
)
def test_it_restores_better_than_the_data_alone(operator, method):
    x, noise = two_parts(64), Gaussian(0.02)
    problem = ig.Problem(operator, noise.sample(operator(x), seed=0), noise)
    found = method(CycleSpunWavelets(soft=method is PnPADMM))(problem).x
    assert distance(found, x) < 0.7 * distance(CG()(problem).x, x)


def test_noise_levels_fall_from_49_to_the_noise_in_eight_steps():
    """DPIR's schedule, on a scale of 255 and with data whose noise is 49/128."""
    seen = []

    class Listening(Denoising):
        def _denoise(self, x, sigma):
            seen.append(float(sigma))
            return 0.9 * x

    x = 255 * two_parts()
    problem = ig.Problem(Identity(x.shape), x, Gaussian(49 / 128))
    PnPHQS(Listening(), scale=255.0, tolerance=0.0)(problem)
    assert seen == pytest.approx([49 / 2**k for k in range(8)], rel=1e-6)


class Remembering(torch.nn.Module):
    """A network that hands its images on, and reports what it got by an error once it has seen enough."""

    def forward(self, x, sigma):
        if sigma.max() < 0.1:
            raise RuntimeError(f"largest {float(x.abs().max()):.3f}, level {float(sigma.max()):.4f}")
        return x


def test_a_network_gets_images_in_its_value_range():
    problem, _ = blurred(factor=2.0**10)
    solver = PnPHQS(NetworkDenoiser(Remembering(), (0, 1)), sigma=0.05, iterations=2)
    with pytest.raises(RuntimeError, match=r"largest (0\.9|1\.[0-4])\d*, level 0\.0500"):
        solver(problem)


def test_scale_is_reported_in_the_images_unit():
    problem, _ = blurred(factor=2.0**10)
    assert PnPHQS(CycleSpunWavelets())(problem).stats["scale"] == pytest.approx(2**10, rel=0.5)


def test_a_level_that_the_network_does_not_know_is_refused():
    problem, _ = blurred()
    with pytest.raises(ig.errors.ParameterError, match=r"trained for sigma from 0.1 to 0.15"):
        PnPHQS(NetworkDenoiser(torch.nn.Identity(), (0.1, 0.15), noise="none"))(problem)


def test_a_level_of_a_batch_is_each_elements_own():
    problem, _ = blurred()
    y = torch.stack([problem.measurement, 3 * problem.measurement])
    both = ig.Problem(problem.operator, y, problem.noise)
    solver = PnPHQS(CycleSpunWavelets(), sigma=torch.tensor([0.02, 0.1]))
    found = solver(both)
    assert found.stats["sigma"].tolist() == pytest.approx([0.02, 0.1])
    alone = PnPHQS(CycleSpunWavelets(), sigma=0.1)(ig.Problem(problem.operator, y[1], problem.noise)).x
    assert distance(found.x[1], alone) < 1e-6
    with pytest.raises(ig.errors.ShapeError, match="sigma"):
        PnPHQS(CycleSpunWavelets(), sigma=torch.tensor([0.02, 0.1, 0.2]))(both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"weight": -1.0}, "weight"),
        ({"scale": "x"}, "scale"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ig.errors.ParameterError, match=message):
        PnPHQS(NonLocalMeans(), **options)


def test_what_does_not_fit_is_refused_with_what_would():
    with pytest.raises(ig.errors.CapabilityError, match="ProxDenoiser"):
        PnPHQS(TotalVariation())
    y = torch.ones(8, 8, dtype=torch.float64)
    counts = ig.Problem(MatrixOperator(torch.eye(64, dtype=torch.float64), (8, 8)), y.flatten(), Poisson(1.0))
    with pytest.raises(ig.errors.CapabilityError, match="Gaussian noise"):
        PnPHQS(NonLocalMeans())(counts)
    with pytest.raises(ig.errors.CapabilityError, match="linear"):
        PnPHQS(NonLocalMeans())(ig.Problem(Saturation((8, 8), high=1.0), y * 0.5, Gaussian(0.1)))


def test_an_image_of_nothing_stays_nothing():
    problem = ig.Problem(Identity((8, 8)), torch.zeros(8, 8, dtype=torch.float64))
    assert not PnPHQS(CycleSpunWavelets(levels=2))(problem).x.any()
