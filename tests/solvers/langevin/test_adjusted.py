"""Metropolis-adjusted steps of preconditioned Langevin dynamics, against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import invgen as ig
from invgen.core.draws import Draws
from invgen.operators import Identity, Mask, MatrixOperator
from invgen.priors import Gaussian, GaussianMixture
from invgen.solvers import PreconditionedLangevin
from invgen.solvers.langevin.adjusted import AdjustedStep
from invgen.solvers.sampling.likelihood_step import GaussianStep
from invgen.solvers.sampling.metropolis import metropolis

from ..sampled import resumed
from .test_langevin import correlated, generator, problem_of

N = 3
SIGMA = 0.7


def mixture(field="real", apart=2.0):
    """Two correlated components of unequal weights."""
    means = apart * torch.tensor([[-1.0, 0.5, 0.0], [1.0, -0.5, 0.3]], dtype=torch.float64)
    root = torch.randn(2, N, N, generator=generator(0), dtype=torch.float64) / 2
    covariances = root @ root.mT + 0.2 * torch.eye(N)
    if field == "complex":
        means = torch.complex(means, -means.flip(1))
        covariances = covariances.to(means.dtype)
    return GaussianMixture(means, covariances, [0.3, 0.7])


def measured(prior, std=0.6):
    dtype = prior.means.dtype
    A = MatrixOperator(torch.randn(2, N, generator=generator(1), dtype=dtype), image_shape=(N,))
    return ig.Problem(A, A(prior.sample(1, seed=2)[0]) + 0.1, ig.noise.Gaussian(std))


def noisy(prior, sigma=SIGMA):
    """The density of images with noise."""
    eye = torch.eye(N, dtype=torch.float64)
    return GaussianMixture(prior.means, prior.covariances.matrices() + sigma**2 * eye, prior.weights)


def step_of(prior, problem, sigma=SIGMA):
    return AdjustedStep(problem, GaussianStep(problem, exact=True), prior.denoise, prior.log_prob, sigma)


def as_real(x):
    return torch.view_as_real(x).flatten(1) if x.is_complex() else x


def matrix_of(A):
    """The operator as a real matrix, of the real and the imaginary part of each number by turns."""
    dtype = torch.complex128 if A.domain.field == "complex" else torch.float64
    eye = torch.eye(N, dtype=dtype)
    rows = torch.stack([eye, 1j * eye], 1).flatten(0, 1) if dtype == torch.complex128 else eye
    return as_real(A(rows)).mT


@pytest.mark.parametrize("field", ["real", "complex"])
@pytest.mark.parametrize("gamma", [0.2, 0.9, 1.0])
def test_the_ratio_is_that_of_the_densities_of_both_ways(field, gamma):
    """Detailed balance of p(x) q(x'|x) min(1, ratio), with the densities by explicit matrices."""
    prior = mixture(field)
    single = measured(prior)
    problem, count = single.repeated(6), 6
    step, x = step_of(prior, problem), prior.sample(count, seed=5)
    at = step.at(x)
    there, log_ratio = step(at, torch.full((count,), gamma, dtype=torch.float64), Draws(range(count), 1))

    A, std = matrix_of(single.operator), 0.6
    H = A.mT @ A / std**2
    P = H + torch.eye(len(H), dtype=H.dtype) / SIGMA**2
    pulled = as_real(single.measurement[None])[0] @ A / std**2

    def mean(x):
        m = torch.linalg.solve(P, (pulled + as_real(prior.denoise(x, SIGMA)) / SIGMA**2).mT).mT
        return as_real(x) + gamma * (m - as_real(x))

    def q(x, given):
        precision = P / (gamma * (2 - gamma))
        law = torch.distributions.MultivariateNormal(mean(given), precision_matrix=precision)
        return law.log_prob(as_real(x))

    def p(x):
        return prior.log_prob(x, SIGMA) - problem.negative_log_likelihood(x)

    expected = p(there.x) + q(x, there.x) - p(x) - q(there.x, x)
    torch.testing.assert_close(log_ratio, expected, rtol=1e-8, atol=1e-8)
    assert float(expected.abs().min()) > 1e-3


def chain(step, x, gamma, steps, adjusted=True):
    """The images after some steps, and the part of them that was accepted."""
    at, draws, accepted = step.at(x), Draws([0], None), 0.0
    gamma = torch.full((len(x),), gamma, dtype=torch.float64)

    def drawn(like, axes=None):
        return draws(like[None], like.ndim)[0]

    for _ in range(steps):
        there, log_ratio = step(at, gamma, drawn)
        if adjusted:
            at, moved, _ = metropolis(at, there, log_ratio, drawn)
            accepted += float(moved.double().mean()) / steps
        else:
            at = there
    return at.x, accepted


def off(x, law, count):
    """Largest distance of mean and second moments from their values, in standard errors."""
    m, C = law.mean(), law.covariance()
    far = (x.mean(0) - m).abs() / (C.diagonal() / count).sqrt()
    products = torch.einsum("ni,nj->nij", x - m, x - m)
    wide = (products.mean(0) - C).abs() / (products.std(0) / math.sqrt(count))
    return float(torch.maximum(far.max(), wide.max()))


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_exact_samples_stay_exact_where_unadjusted_ones_do_not(gamma):
    prior, count = mixture(), 20_000
    single = measured(prior)
    law = noisy(prior).posterior(single)
    step, x = step_of(prior, single.repeated(count)), law.sample(count, seed=0)
    kept, accepted = chain(step, x, gamma, 10)
    assert off(kept, law, count) < 4
    assert 0.3 < accepted < 0.99
    assert off(chain(step, x, gamma, 10, adjusted=False)[0], law, count) > 10


def test_chains_from_one_place_find_two_modes_of_unequal_weights():
    prior = GaussianMixture(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.2, [0.8, 0.2])
    problem = ig.Problem(Identity((1,)), torch.tensor([0.2], dtype=torch.float64), ig.noise.Gaussian(1.0))
    count = 2000
    repeated = problem.repeated(count)
    x, _ = chain(step_of(prior, repeated, 0.5), torch.ones(count, 1, dtype=torch.float64), 0.6, 60)
    law = GaussianMixture(prior.means, 0.2 + 0.25, prior.weights).posterior(problem)
    places = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    cdf = law.log_prob(places[:, None]).exp().cumsum(0)
    cdf = (cdf / cdf[-1]).numpy()
    assert kstest(x[:, 0].numpy(), lambda t: np.interp(t, places.numpy(), cdf)).pvalue > 0.01
    assert (
        kstest(prior.sample(count, seed=0)[:, 0].numpy(), lambda t: np.interp(t, places, cdf)).pvalue < 1e-6
    )


@pytest.mark.parametrize("what", ["noise", "data"])
def test_all_are_accepted_where_noise_or_the_data_determine(what):
    """The energy then has the curvature of the preconditioner's inverse, and steps are exact."""
    variance, sigma = {"noise": (1e-8, 0.5), "data": (1e10, 200.0)}[what]
    prior = Gaussian(torch.zeros(N, dtype=torch.float64), variance)
    single = ig.Problem(Identity((N,)), torch.ones(N, dtype=torch.float64), ig.noise.Gaussian(0.2))
    step = step_of(prior, single.repeated(100), sigma)
    x = torch.randn(100, N, generator=generator(3), dtype=torch.float64)
    for gamma in (0.3, 1.0):
        _, log_ratio = step(step.at(x), torch.full((100,), gamma, dtype=torch.float64), Draws(range(100), 1))
        assert float(log_ratio.abs().max()) < 0.02


@pytest.mark.parametrize("prior", [correlated(), mixture()], ids=["Gaussian", "mixture"])
def test_the_solver_ends_at_the_posterior(prior):
    """Means and second moments of many chains, within chance, after many steps at each of a few levels."""
    problem = problem_of(prior, "dense") if prior.space.size > N else measured(prior)
    count = 150
    solver = PreconditionedLangevin(prior, iterations=12, adjusted_steps=20, sigma_range=(0.05, 5.0))
    result = solver(problem, samples=count, seed=0)
    assert off(result.samples.flatten(1), _flat(prior.posterior(problem)), count) < 4.5
    assert 0.6 < result.stats["acceptance"] < 0.95
    assert 0.1 < result.stats["step_size"] <= 1
    assert result.stats["network_evaluations"] == 1 + 12 * 21 + 1


def _flat(law):
    """With images as vectors."""
    return Gaussian(law.mean().flatten(), law.covariance())


def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    prior = correlated()
    problem = problem_of(prior, "mask")
    solver = PreconditionedLangevin(prior, iterations=6, adjusted_steps=2, sigma_range=(0.1, 3.0))
    whole = solver(problem, samples=3, seed=0)
    again = resumed(solver, problem, 3, tmp_path / "checkpoint")
    assert torch.equal(whole.samples, again.samples)
    assert whole.stats["acceptance"] == again.stats["acceptance"]


def test_weighted_data_and_dead_pixels_are_solved_exactly():
    """By conjugate gradients: the ratio is that of a mask without them."""
    prior = mixture()
    std = torch.tensor([0.3, math.inf, 0.6], dtype=torch.float64)
    y = torch.tensor([0.5, 0.0, -0.2], dtype=torch.float64)
    dead = ig.Problem(Identity((N,)), y, ig.noise.Gaussian(std)).repeated(4)
    rows = torch.tensor([[1 / 0.3, 0, 0], [0, 0, 1 / 0.6]], dtype=torch.float64)
    white = ig.Problem(MatrixOperator(rows, (N,)), rows @ y, ig.noise.Gaussian(1.0)).repeated(4)
    x, there = prior.sample(4, seed=0), prior.sample(4, seed=1)
    for one, other in zip(
        (step_of(prior, dead).at(v) for v in (x, there)),
        (step_of(prior, white).at(v) for v in (x, there)),
        strict=True,
    ):
        torch.testing.assert_close(one.gradient, other.gradient)
        torch.testing.assert_close(one.way, other.way, rtol=1e-4, atol=1e-5)
    seen = Mask(torch.tensor([True, False, True]))
    lost = ig.Problem(seen, y, ig.noise.Gaussian(0.3)).repeated(4)
    assert bool(step_of(prior, lost).at(x).energy.isfinite().all())


def test_priors_without_the_density_of_noisy_images_are_refused():
    class Plain:
        space = correlated().space
        image_format = correlated().image_format

        def denoise(self, x, sigma):
            return x

    with pytest.raises(ig.errors.CapabilityError, match=r"adjusted_steps needs.*log_prob\(x, sigma\).*Plain"):
        PreconditionedLangevin(Plain(), adjusted_steps=1, sigma_range=(0.1, 1.0))
    assert PreconditionedLangevin(Plain(), sigma_range=(0.1, 1.0)).adjusted_steps == 0
    with pytest.raises(ig.errors.ParameterError, match="adjusted_steps"):
        PreconditionedLangevin(correlated(), adjusted_steps=-1, sigma_range=(0.1, 1.0))
