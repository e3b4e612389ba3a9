"""Samples and densities by a denoiser alone, against a Gaussian and a mixture, whose own are known."""

import pytest
import torch

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors import Gaussian, GaussianMixture
from invgen.priors.diffusion.reverse import SAMPLERS, flow_log_prob, noise_levels

LEVELS = (0.002, 80.0)


def gaussian(n=6):
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    variances = torch.linspace(0.05, 2, n, dtype=torch.float64)
    return Gaussian(torch.arange(n, dtype=torch.float64) / n, basis * variances @ basis.T)


def two_points():
    means = torch.tensor([[-2.0], [1.0]], dtype=torch.float64)
    return GaussianMixture(means, torch.full_like(means, 0.04), torch.tensor([0.25, 0.75]))


def drawn(prior, method, n, steps):
    draws = Draws(range(n))
    start = LEVELS[1] * draws(torch.zeros(n, *prior.means.shape[1:], dtype=torch.float64))
    return SAMPLERS[method](prior.denoise, start, noise_levels(steps, *LEVELS), draws)


def test_levels_fall_from_the_highest_to_the_lowest_and_then_to_zero():
    levels = noise_levels(10, *LEVELS)
    assert levels[0] == pytest.approx(80)
    assert levels[-2] == pytest.approx(0.002)
    assert levels[-1] == 0
    assert levels == sorted(levels, reverse=True)
    # Karras et al., eq. 5: the roots are equidistant
    roots = torch.tensor(levels[:-1], dtype=torch.float64) ** (1 / 7)
    assert torch.allclose(roots.diff(), roots.diff().mean().expand(9))


@pytest.mark.parametrize("steps", [16, 64])
def test_heun_converges_to_the_exact_flow_of_a_gaussian(steps):
    """Each principal axis is scaled by the ratio of the standard deviations at its ends."""
    prior = gaussian()
    start = 80 * Draws(range(8))(torch.zeros(8, 6, dtype=torch.float64))
    found = SAMPLERS["heun"](prior.denoise, start, noise_levels(steps, *LEVELS), Draws(()))
    values, vectors = torch.linalg.eigh(prior.covariances.matrices()[0])
    ratio = (values / (values + 80**2)).sqrt()
    exact = prior.means[0] + (start - prior.means[0]) @ vectors * ratio @ vectors.T
    # second order: four times the steps, a sixteenth of the error
    assert float((found - exact).abs().max()) < 0.15 * (16 / steps) ** 2


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("method", "steps"), [("heun", 32), ("ancestral", 192), ("predictor-corrector", 64)])
def test_samples_have_the_moments_of_a_gaussian(method, steps):
    prior, n = gaussian(), 1500
    x = drawn(prior, method, n, steps)
    covariance = prior.covariances.matrices()[0]
    # four standard errors of the mean; of the covariance two, 5 percent each, and the bias of finite steps
    assert float((x.mean(0) - prior.means[0]).abs().max()) < 4 * (2 / n) ** 0.5
    assert float((torch.cov(x.T) - covariance).norm() / covariance.norm()) < 0.15


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("method", ["heun", "ancestral"])
def test_samples_of_a_mixture_choose_its_components_by_their_weights(method):
    x = drawn(two_points(), method, 2000, 64)
    assert float((x < -0.5).double().mean()) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 2000) ** 0.5)


@pytest.mark.parametrize("method", SAMPLERS)
def test_each_sample_follows_from_its_own_seed(method):
    prior = gaussian()
    both = drawn(prior, method, 2, 8)
    alone = Draws([1])
    start = LEVELS[1] * alone(torch.zeros(1, 6, dtype=torch.float64))
    second = SAMPLERS[method](prior.denoise, start, noise_levels(8, *LEVELS), alone)
    assert torch.allclose(both[1:], second, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_the_density_of_a_gaussian_is_within_its_standard_error():
    prior = gaussian()
    x = prior.sample(40, seed=1)
    found = flow_log_prob(prior.denoise, x, *LEVELS, std=1.0, probes=24, steps=30)
    errors = (found.value - prior.log_prob(x)) / found.standard_error
    # the probes are each image's own: their errors are normal, and independent
    assert float(errors.square().mean()) == pytest.approx(1, abs=4 * (2 / 40) ** 0.5)
    assert float(found.standard_error.max()) < 0.2 * float(prior.log_prob(x).abs().mean())


@pytest.mark.slow
def test_the_density_of_separate_variances_is_exact_with_any_signs():
    """Of a diagonal Jacobian, each probe gives the whole trace: what is left is the integration."""
    prior = two_points()
    x = torch.tensor([[-2.1], [-0.5], [1.0]], dtype=torch.float64)
    found = flow_log_prob(prior.denoise, x, *LEVELS, std=1.5, probes=2, steps=200)
    assert torch.allclose(found.value, prior.log_prob(x), atol=0.01)
    assert float(found.standard_error.max()) < 1e-9


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ParameterError, match="fall from the highest"):
        noise_levels(10, 80.0, 0.002)
    with pytest.raises(ParameterError, match="real"):
        flow_log_prob(gaussian().denoise, torch.zeros(1, 6, dtype=torch.complex128), *LEVELS, std=1.0)
