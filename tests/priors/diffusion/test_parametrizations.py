"""Every parametrization against the closed-form denoisers of a normal density and of a mixture.

The networks are exact: built from the closed form as the papers define noise, score, velocity and flow, and
from the label alone, by the published codes' tables. Nothing of the module under test makes them.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors import Diffusion, Gaussian, GaussianMixture
from invgen.priors.diffusion import parametrizations

SHAPE = (3, 4)
SIGMAS = [0.02, 0.3, 2.0, 40.0]


def gaussian():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64) / 4
    mean = torch.randn(SHAPE, generator=generator, dtype=torch.float64) / 2
    return Gaussian(mean, root @ root.T + 0.01 * torch.eye(12))


def mixture():
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    variances = 0.02 + 0.3 * torch.rand(3, *SHAPE, generator=generator, dtype=torch.float64)
    return GaussianMixture(means, variances, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))


PRIORS = pytest.mark.parametrize("prior", [gaussian(), mixture()], ids=["gaussian", "mixture"])


class Exact(nn.Module):
    """``network(seen, time)`` of what is asked for, where ``(alpha, sigma)`` of a time is given."""

    def __init__(self, prior, at, target):
        super().__init__()
        self.prior, self.at, self.target = prior, at, target

    def forward(self, seen, time, label=None):
        found = [self.one(x, float(t)) for x, t in zip(seen, time, strict=True)]
        return torch.stack(found)

    def one(self, x, time):
        alpha, sigma = self.at(time)  # x = alpha x_0 + sigma n
        x0 = self.prior.denoise(x[0] / alpha, sigma / alpha)
        n = (x[0] - alpha * x0) / sigma
        return self.target(x0, n, alpha, sigma)[None]


TARGETS = {
    "noise": lambda x0, n, alpha, sigma: n,
    "image": lambda x0, n, alpha, sigma: x0,
    "velocity": lambda x0, n, alpha, sigma: alpha * n - sigma * x0,
    "score": lambda x0, n, alpha, sigma: -n / sigma,
    "flow": lambda x0, n, alpha, sigma: n - x0,
}


def table(betas):
    """What DDPM codes hold, by numpy: alpha and sigma at whole times."""
    kept = np.cumprod(1 - betas)
    return lambda time: (math.sqrt(kept[round(time)]), math.sqrt(1 - kept[round(time)]))


LINEAR = np.linspace(1e-4, 0.02, 1000)
CURVE = [math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(1001)]
COSINE = np.array([min(1 - CURVE[i + 1] / CURVE[i], 0.999) for i in range(1000)])


def compare(prior, denoiser, sigmas, tolerance=1e-8):
    x = 0.5 * torch.randn(len(sigmas), 1, *SHAPE, dtype=torch.float64, generator=torch.manual_seed(2))
    sigmas = torch.tensor(sigmas, dtype=torch.float64)
    x = x * (1 + sigmas[:, None, None, None])
    exact = torch.stack([prior.denoise(image[0], float(s))[None] for image, s in zip(x, sigmas, strict=True)])
    found = denoiser(x, sigmas)
    assert torch.allclose(found, exact, rtol=tolerance, atol=tolerance)


@PRIORS
@pytest.mark.parametrize("kind", ["noise", "image", "velocity"])
@pytest.mark.parametrize("betas", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_variance_preserving_predictions_at_the_steps_of_ddpm(prior, kind, betas):
    made = {"noise": "NoisePrediction", "image": "ImagePrediction", "velocity": "VelocityPrediction"}[kind]
    ours = parametrizations.linear_betas() if betas is LINEAR else parametrizations.cosine_betas()
    times = parametrizations.DiscreteTimes(parametrizations.sigmas_of(ours))
    denoiser = getattr(parametrizations, made)(Exact(prior, table(betas), TARGETS[kind]), times)
    alphas, sigmas = zip(*(table(betas)(time) for time in (0, 10, 300, 700, 950)), strict=True)
    compare(prior, denoiser, [s / a for a, s in zip(alphas, sigmas, strict=True)])


@PRIORS
def test_continuous_variance_preserving_noise(prior):
    def at(label):  # Song et al. (2021), eq. 33
        t = label / 999
        alpha = math.exp(-(t**2) * (20 - 0.1) / 4 - t * 0.1 / 2)
        return alpha, math.sqrt(1 - alpha**2)

    denoiser = parametrizations.NoisePrediction(
        Exact(prior, at, TARGETS["noise"]), parametrizations.ContinuousTimes()
    )
    compare(prior, denoiser, SIGMAS)


@PRIORS
def test_continuous_variance_exploding_score_gets_sigma_itself(prior):
    denoiser = parametrizations.ScorePrediction(
        Exact(prior, lambda label: (1, label), TARGETS["score"]), parametrizations.SigmaTimes()
    )
    compare(prior, denoiser, SIGMAS)


@PRIORS
def test_discrete_variance_exploding_score_counts_from_the_highest_level(prior):
    levels = np.exp(np.linspace(np.log(50), np.log(0.01), 1000))  # get_sigmas of score_sde_pytorch
    denoiser = parametrizations.ScorePrediction(
        Exact(prior, lambda label: (1, levels[round(label)]), TARGETS["score"]),
        parametrizations.DiscreteTimes(parametrizations.geometric_sigmas(50, 0.01, 1000)),
    )
    compare(prior, denoiser, levels[[0, 1, 500, 999]].tolist())
    assert float(denoiser.time(torch.tensor([50.0]))) == 0
    assert float(denoiser.time(torch.tensor([0.01]))) == 999


@PRIORS
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_flow_gets_its_share_of_noise(prior, scale):
    denoiser = parametrizations.FlowPrediction(
        Exact(prior, lambda label: (1 - label / scale, label / scale), TARGETS["flow"]),
        parametrizations.FlowTimes(scale),
    )
    compare(prior, denoiser, SIGMAS)


def test_single_precision_is_enough():
    prior = gaussian()
    times = parametrizations.DiscreteTimes(parametrizations.sigmas_of(parametrizations.linear_betas()))
    denoiser = parametrizations.NoisePrediction(Exact(prior, table(LINEAR), TARGETS["noise"]), times).float()
    alpha, sigma = table(LINEAR)(300)
    x = torch.randn(1, 1, *SHAPE, generator=torch.manual_seed(0))
    exact = prior.denoise(x[0, 0].double(), sigma / alpha)
    found = denoiser(x, torch.tensor([sigma / alpha]))[0, 0]
    assert torch.allclose(found.double(), exact, atol=1e-5)


def test_times_between_two_steps_follow_the_logarithm_of_sigma():
    times = parametrizations.DiscreteTimes(torch.tensor([0.1, 0.4, 6.4]))
    sigma = torch.tensor([0.01, 0.1, 0.2, 0.8, 6.4, 100.0])
    assert torch.allclose(times(sigma), torch.tensor([0, 0, 0.5, 1.25, 2, 2]), atol=1e-6)
    falling = parametrizations.DiscreteTimes(torch.tensor([6.4, 0.4, 0.1]))
    assert torch.allclose(falling(sigma), 2 - times(sigma), atol=1e-6)
    whole = parametrizations.DiscreteTimes(torch.tensor([0.1, 0.4, 6.4]), rounded=True)
    assert whole(sigma).tolist() == [0, 0, 0, 1, 2, 2]
    assert parametrizations.ContinuousTimes()(torch.tensor([0.0, 1e4])).tolist() == [0, 999]
    with pytest.raises(ParameterError, match="rising or falling"):
        parametrizations.DiscreteTimes(torch.tensor([1.0, 3.0, 2.0]))


class Channels(nn.Module):
    """Predicts what it sees, and much else beside."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    def forward(self, seen, time, label=None):
        return torch.cat([seen] + self.more * [torch.full_like(seen, math.nan)], dim=1)


def test_learned_variances_are_left_out():
    """Networks of learned variance put out twice the channels; only the first half is the noise."""
    times = parametrizations.ContinuousTimes()
    x, sigma = torch.rand(2, 3, 4, 4), torch.tensor([0.5, 1.0])
    plain = parametrizations.NoisePrediction(Channels(0), times)(x, sigma)
    assert torch.equal(parametrizations.NoisePrediction(Channels(1), times)(x, sigma), plain)
    with pytest.raises(ShapeError, match="9 channels for 3"):
        parametrizations.NoisePrediction(Channels(2), times)(x, sigma)


def test_data_in_the_unit_interval_have_half_the_sigma():
    """One density, of images in [0, 1]: its network sees them so, and sigma in their units."""
    prior = mixture()
    network = Exact(prior, lambda label: (1, label), TARGETS["score"])
    denoiser = parametrizations.UnitInterval(
        parametrizations.ScorePrediction(network, parametrizations.SigmaTimes())
    )
    x = torch.rand(SHAPE, dtype=torch.float64)
    found = Diffusion(denoiser, SHAPE).denoise(x, 0.2)  # images in [0, 1], which it makes -1 to 1
    assert torch.allclose(found, prior.denoise(x, 0.2), rtol=1e-8)
