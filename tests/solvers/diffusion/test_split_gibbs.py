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
from invgen.solvers.diffusion import split_gibbs

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


def reached(solver, prob):
    """Mean and covariance of the last image, of a real Gaussian prior: computed, not estimated."""
    shape, d = prob.operator.domain.shape, prob.operator.domain.size
    schedule = solver.schedule(prob)
    # of x and z together: an overrelaxed draw depends on the old one
    mean, covariance = torch.zeros(2 * d).double(), torch.zeros(2 * d, 2 * d).double()
    for k, rho in enumerate(schedule):
        again = k > split_gibbs._PLAIN * solver.iterations and rho is schedule[k - 1]
        kept = again and k < (1 - split_gibbs._ANEW) * solver.iterations

        def step(problem, both, draws, rho=rho, again=again, kept=kept):
            x, z = (part.reshape(-1, *shape) for part in both.split(d, 1))
            width, over = rho.expand(problem.batch_shape), split_gibbs._OVER
            z = solver.prepare(problem)(x, width, draws, *((z, over) if again else ()))
            x = solver.prior_step(problem, z, width, draws, *((x, over) if kept else ()))
            return torch.cat([x.flatten(1), z.flatten(1)], 1)

        mean, covariance = moved(step, prob, mean, covariance, prob.measurement.numel() + 2 * d)
    return mean[:d].reshape(shape), covariance[:d, :d]


@pytest.mark.parametrize(("name", "iterations"), [("dense-8", 45), ("dense-8", 100), ("radon-32", 45)])
def test_few_iterations_on_a_gaussian_prior_give_its_posterior(name, iterations, monkeypatch):
    # 90 and 200 evaluations of the denoiser
    monkeypatch.setattr("invgen.solvers.sampling.unbiased_step.SAMPLER_PRECISION", 1e-7)
    prior, prob = case(name)
    off, ratio = errors(*reached(SplitGibbs(prior, iterations=iterations), prob), prior.posterior(prob))
    assert float(off.square().mean().sqrt()) < (0.01 if iterations == 45 else 0.003)
    assert float((ratio - 1).abs().max()) < 0.012
    covered = coverage(off, ratio)
    assert bool(((covered > 0.898) & (covered < 0.902)).all())


@pytest.mark.parametrize("spread", [10.0, 1e2])
def test_unequal_posterior_variances_are_reached_as_well(spread):
    # the second pixel is measured that much worse than the first, and the prior knows less than both
    prior = Gaussian(torch.zeros(2).double(), torch.tensor([1e4, 1e4]).double())
    A = MatrixOperator(torch.eye(2).double(), (2,))
    noise = Noise(torch.tensor([1.0, math.sqrt(spread)]).double())
    prob = ig.Problem(A, torch.tensor([80.0, -120.0]).double(), noise)
    solver = SplitGibbs(prior, iterations=250, rho_range=(0.5, 300.0))
    off, ratio = errors(*reached(solver, prob), prior.posterior(prob))
    assert float(off.abs().max()) < 0.03
    assert float((ratio - 1).abs().max()) < 0.05


@pytest.mark.parametrize("variance", [0.1, 1.0, 10.0])
def test_prior_step_has_the_exact_mean_of_a_gaussian_and_almost_its_variance(variance):
    prior = Gaussian(torch.full((1,), 2.0).double(), torch.tensor([variance]).double())
    prob = ig.Problem(MatrixOperator(torch.eye(1).double(), (1,)), torch.zeros(1).double(), Noise(1.0))
    rho, z = 0.8, torch.full((1,), 5.0).double()

    def step(problem, x, draws):
        return SplitGibbs(prior, rho_range=(0.1, 1.0)).prior_step(problem, x, rho + 0 * x[:, 0], draws)

    mean, spread = moved(step, prob, z, torch.zeros(1, 1).double(), 1)
    r = rho**2 / variance
    assert float(mean) == pytest.approx((5.0 + r * 2.0) / (1 + r), rel=1e-6)
    assert float(spread) == pytest.approx(rho**2 / (1 + r / 2) ** 2, rel=1e-6)


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
        assert float(off.mean(0).abs().max()) < 4.5 / math.sqrt(n) + 0.01
        assert bool(((off.var(0) - 1).abs() < 0.01 + 4.5 * math.sqrt(2 / n)).all())
    assert drawn.stats["network_evaluations"] == 200


def test_both_modes_are_found_in_their_proportions():
    # nothing but the prior determines the sign of the second pixel: three to one
    means = torch.tensor([[1.0, 3.0], [1.0, -3.0]]).double()
    prior = GaussianMixture(means, 0.05, [0.75, 0.25])
    prob = ig.Problem(Mask(torch.tensor([1.0, 0.0]).double()), torch.tensor([1.0, 0.0]).double(), Noise(0.2))
    n = 200
    x = SplitGibbs(prior)(prob, samples=n, seed=0).samples
    share = float((x[:, 1] > 0).double().mean())
    # the step between two modes is off by 0.02
    assert abs(share - 0.75) < 0.02 + 4 * math.sqrt(0.75 * 0.25 / n)


@pytest.mark.parametrize("y", [0.0, 0.3, 0.6, 0.9])
def test_a_value_that_is_mostly_zero_is_as_often_and_as_far_from_it_as_in_the_posterior(y):
    # overrelaxed to the last, variances are up to three times as large, and half as many values are zero
    prior = GaussianMixture(torch.zeros(2, 1).double(), torch.tensor([[1e-4], [1.0]]).double(), [0.8, 0.2])
    prob = ig.Problem(MatrixOperator(torch.eye(1).double(), (1,)), torch.tensor([y]).double(), Noise(0.3))
    x = SplitGibbs(prior)(prob, samples=1000, seed=0).samples
    posterior = prior.posterior(prob)
    exact = posterior.sample(20_000, seed=0)
    # the step between zero and the others is not exact
    assert 0.6 < float(x.var() / exact.var()) < 1.35
    zeros, expected = (float((each.abs() < 0.05).double().mean()) for each in (x, exact))
    assert abs(zeros - expected) < 0.15
    assert abs(float(x.mean() - exact.mean())) < 0.1 * float(posterior.covariance()) ** 0.5 + 0.02


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
    # interrupted among iterations at one rho, which need the last z
    solver = SplitGibbs(prior, iterations=40)
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
        SplitGibbs(prior, iterations=1)
