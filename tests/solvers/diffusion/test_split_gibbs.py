"""Split Gibbs sampling against posteriors that are known."""

import dataclasses
import math

import pytest
import torch

import invgen as ig
from invgen.certification.cases import CASES
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import Mask, MatrixOperator
from invgen.priors import Gaussian, GaussianMixture
from invgen.solvers import SplitGibbs
from invgen.solvers.sampling.likelihood_step import GaussianStep

from ..impulses import coverage, errors, moved
from ..sampled import resumed


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def case(name):
    setting = CASES[name].setting(0)
    matrix = MatrixOperator(
        setting.operator(torch.eye(setting.prior.space.size).reshape(-1, *setting.prior.space.shape))
        .flatten(1)
        .mT.double(),
        setting.prior.space.shape,
    )
    prior = Gaussian(setting.prior.mean().double(), setting.prior.covariance())
    noise = Noise(setting.noise.std.value.double())
    return prior, ig.Problem(matrix, noise.sample(matrix(prior.sample(1, seed=1)[0]), seed=2), noise)


@pytest.mark.parametrize("name", ["dense-8", "radon-32"])
def test_six_hundred_iterations_on_a_gaussian_prior_give_its_posterior(name):
    # 1800 evaluations of the denoiser; the chain's mean and covariance are computed, not estimated
    prior, prob = case(name)
    solver = SplitGibbs(prior, iterations=600, prior_steps=2)
    mean, covariance = prob.zeros(), torch.zeros(prior.space.size, prior.space.size, dtype=torch.float64)
    for rho in solver.schedule(prob):

        def step(problem, x, draws, rho=rho):
            width = rho.expand(problem.batch_shape)
            return solver.prior_step(problem, GaussianStep(problem)(x, width, draws), width, draws)

        numbers = prob.measurement.numel() + 3 * prior.space.size
        mean, covariance = moved(step, prob, mean, covariance, numbers)
    off, ratio = errors(mean, covariance, prior.posterior(prob))
    assert float(off.square().mean().sqrt()) < 0.02
    assert float((ratio - 1).abs().max()) < 0.05
    covered = coverage(off, ratio)
    assert bool(((covered > 0.88) & (covered < 0.92)).all())


def small(std=0.3, dtype=torch.float64):
    prior = Gaussian(normal(2, 2, seed=1, dtype=dtype), torch.tensor([[0.2, 1.0], [2.0, 0.5]]).double())
    A = MatrixOperator(normal(2, 4, seed=2, dtype=dtype), image_shape=(2, 2))
    noise = Noise(std)
    return prior, ig.Problem(A, noise.sample(A(prior.sample(1, seed=3)[0]), seed=4), noise)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_samples_are_spread_as_the_posterior(dtype):
    prior, prob = small(dtype=dtype)
    n = 200
    drawn = SplitGibbs(prior)(prob, samples=n, seed=0)
    exact = prior.posterior(prob)
    std = exact.covariance().diagonal().real.sqrt().reshape(2, 2)
    parts = ["real", "imag"] if dtype.is_complex else ["real"]
    for part in parts:
        off = (getattr(drawn.samples, part) - getattr(exact.mean(), part)) / std
        # Monte-Carlo errors at 4.5 standard errors, and what 100 iterations leave
        assert float(off.mean(0).abs().max()) < 4.5 / math.sqrt(n) + 0.15
        assert bool(((off.var(0) - 1.06).abs() < 0.06 + 4.5 * math.sqrt(2 / n)).all())
    assert drawn.stats["network_evaluations"] == 500


def test_both_modes_are_found_in_their_proportions():
    # nothing but the prior determines the sign of the second pixel: three to one
    means = torch.tensor([[1.0, 3.0], [1.0, -3.0]]).double()
    prior = GaussianMixture(means, 0.05, [0.75, 0.25])
    prob = ig.Problem(Mask(torch.tensor([1.0, 0.0]).double()), torch.tensor([1.0, 0.0]).double(), Noise(0.2))
    n = 200
    x = SplitGibbs(prior, iterations=60, prior_steps=6)(prob, samples=n, seed=0).samples
    share = float((x[:, 1] > 0).double().mean())
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / n)


def test_unequal_noise_in_a_batch_is_each_alone():
    prior, prob = small()
    solver = SplitGibbs(prior, iterations=5)
    std = torch.tensor([0.3, 0.03]).double()
    batch = ig.Problem(prob.operator, torch.stack([prob.measurement] * 2), Noise(std[:, None]))
    together = solver(batch, samples=2, seed=0).samples
    for i in range(2):
        alone = solver(ig.Problem(prob.operator, prob.measurement, Noise(float(std[i]))), samples=2, seed=0)
        torch.testing.assert_close(together[:, i], alone.samples, rtol=1e-6, atol=1e-6)


def test_chunks_and_interruptions_change_nothing(tmp_path):
    prior, prob = small()
    solver = SplitGibbs(prior, iterations=6)
    whole = solver(prob, samples=3, seed=0).samples
    torch.testing.assert_close(
        dataclasses.replace(solver, chunk_size=2)(prob, samples=3, seed=0).samples, whole
    )
    assert torch.equal(resumed(solver, prob, 3, tmp_path / "run").samples, whole)


def test_refusals():
    prior = small()[0]

    class Bare:
        denoise = prior.denoise

    with pytest.raises(CapabilityError, match="rho_range"):
        SplitGibbs(Bare())
    with pytest.raises(ParameterError, match="low to high"):
        SplitGibbs(Bare(), rho_range=(2.0, 1.0))
    with pytest.raises(ParameterError, match="at least 2"):
        SplitGibbs(prior, prior_steps=1)
