"""Twisted sequential Monte Carlo against closed forms."""

import math
import warnings
from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen.certification import CASES, DenoiserView
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError, SamplingWarning
from invgen.operators import Downsample, Mask, MatrixOperator
from invgen.priors import Gaussian, GaussianMixture, TVDenoiser
from invgen.solvers import TwistedSMC
from invgen.solvers.particles.crowd import Cloud, Crowd
from invgen.solvers.particles.step import step, variance_seen

from .problems import SHAPE, correlated, dense, evidence, explicit, measured


def reached(solver, problem, x, sigma, low, v, seed=0):
    """Particles at a level, ready for a step."""
    crowd = Crowd(problem, len(x), len(x), solver.data_step)
    count = torch.arange(len(x))
    cloud = Cloud(x, torch.zeros(len(x), dtype=torch.float64), count, 0 * count)
    with torch.no_grad():
        return solver.seen(crowd, cloud, sigma, low, v, Draws([seed]))


@pytest.mark.parametrize("field", ["real", "complex"])
@pytest.mark.parametrize("low", [0.9, 0.6])
def test_the_weights_of_a_step_average_to_one(field, low):
    """Of the model's step over the one that was made, of any length: an error of the ratio shows."""
    prior = correlated(field)
    problem = measured(dense(field), prior)
    x = prior.sample(1, 5).expand(20_000, *SHAPE)
    cloud = reached(TwistedSMC(prior), problem, x, 1.0, 0.8, 1.0)
    ratio = step(problem.operator.domain, cloud, 1.0, low, 1.0)[1].exp()
    assert ratio.std() > 0.1  # the data do guide
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / len(ratio) ** 0.5


def test_unguided_particles_have_the_priors_variance_to_second_order():
    """Steps are affine for a Gaussian prior: their covariance is propagated without chance."""
    prior = Gaussian(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[0.1, 3.0]]).double())
    # data of no weight
    problem = ig.Problem(Mask(torch.ones(1, 2)), torch.zeros(1, 2).double(), ig.noise.Gaussian(1e9))
    errors = []
    for iterations in (50, 100):
        solver = TwistedSMC(prior, iterations=iterations, sigma_range=(1e-3, 50.0))
        variance = torch.full((1, 2), 50.0**2, dtype=torch.float64)
        for high, low in pairwise(solver.levels()[:-1]):
            one = torch.ones(1, 1, 2).double()
            cloud = reached(solver, problem, one, high, low, 1.0)
            quiet = cloud._replace(noise=0 * one, noise_through=0 * one)
            kept = step(problem.operator.domain, quiet, high, low, 1.0)[0][0]
            fresh = (step(problem.operator.domain, cloud, high, low, 1.0)[0][0] - kept) / cloud.noise[0]
            variance = kept**2 * variance + fresh**2
        errors.append((variance / torch.tensor([0.1, 3.0]) - 1).abs().max())
    assert errors[1] < 0.01  # that of ancestral sampling is 0.1
    assert 3 < errors[0] / errors[1] < 5  # halved steps, a quarter of the error


CASES_OF_ONE_MODE = {
    "dense": (dense, "real"),
    "mask": (lambda: Mask(torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]]).bool()), "real"),
    "blocks": (lambda: Downsample(SHAPE, 2), "real"),
    "complex": (lambda: dense("complex"), "complex"),
}


@pytest.mark.parametrize("std", [0.3, 1e-3])
@pytest.mark.parametrize("case", CASES_OF_ONE_MODE)
def test_the_posterior_of_a_gaussian_prior(case, std):
    """Along its principal axes, of any length: with small noise some are a thousandth of the others."""
    build, field = CASES_OF_ONE_MODE[case]
    prior, n = correlated(field), 1000
    problem = measured(build(), prior, std)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        levels = 40 if std == 0.3 else 60
        result = TwistedSMC(prior, iterations=levels)(problem, samples=n, seed=0)
    posterior = prior.posterior(problem)
    values, axes = torch.linalg.eigh(posterior.covariance())
    away = (result.samples - posterior.mean()).flatten(1).to(axes.dtype)
    scores = away @ axes.conj() / values.sqrt()
    scores = torch.view_as_real(scores) if scores.is_complex() else scores
    # independent particles are at least half of them here; four standard errors, and for the variance what
    # the steps' second order leaves of 1 % at 100 levels
    error = 4 * (2 / n) ** 0.5
    assert scores.mean(0).abs().max() < error
    assert (scores.var(0) - 1).abs().max() < 2**0.5 * error + 0.01 * (100 / 40) ** 2


def test_modes_have_their_weight():
    """Two modes that the data hardly distinguish: guidance alone does not know their weights."""
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)[:, None]
    prior = GaussianMixture(means, 0.1, [0.8, 0.2])
    A, n = Mask(torch.tensor([[0, 1]]).bool()), 2000
    problem = ig.Problem(A, torch.tensor([[0.0, 0.7]]).double(), ig.noise.Gaussian(0.3))
    exact = float(prior.posterior(problem).weights[0])
    assert 0.3 < exact < 0.7
    drawn = TwistedSMC(prior, iterations=60)(problem, samples=n, seed=0).samples
    found = float((drawn[:, 0, 0] < 0).double().mean())
    assert abs(found - exact) < 4 * (4 * exact * (1 - exact) / n) ** 0.5


@pytest.mark.parametrize(
    ("field", "runs"),
    [("real", 25), *(pytest.param(field, 200, marks=pytest.mark.slow) for field in ("real", "complex"))],
)
def test_the_estimate_of_the_evidence_is_unbiased(field, runs):
    """The mean over many runs of few particles, which are drawn anew, is the closed form."""
    prior = correlated(field)
    problem = measured(dense(field), prior, 0.05)
    solver = TwistedSMC(prior, iterations=20, particles=16, threshold=1.0, kept=0.0)
    ratios = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        for seed in range(runs):
            found = solver(problem, seed=seed).stats["log_evidence"]
            ratios.append(math.exp(float(found) - evidence(problem, prior)))
    ratios = torch.tensor(ratios)
    assert 0.05 < ratios.std() < 2
    # and what the distance of twenty levels leaves of the prior
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / runs**0.5 + 0.1


def test_the_evidence_is_reported_where_its_constant_is_known():
    prior = correlated()
    solver = TwistedSMC(prior, iterations=60, particles=400)
    problem = measured(dense(), prior)
    found = float(solver(problem, seed=0).stats["log_evidence"])
    assert abs(found - evidence(problem, prior)) < 0.1
    unequal = measured(dense(), prior, torch.tensor([0.1, 0.2, 0.4, 0.3]).double())
    assert "log_evidence" not in solver(unequal, seed=0).stats


@pytest.mark.parametrize("sigma", [0.5, 15.0])
def test_the_variance_within_modes_is_seen_with_particles_between_them(sigma):
    """Two modes of the variance 0.5 at a distance of 50: between them the denoiser changes far more."""
    means = torch.zeros(2, 80, dtype=torch.float64)
    means[:, 0] = torch.tensor([-25.0, 25.0])
    prior = GaussianMixture(means, 0.5, [0.5, 0.5])
    A = MatrixOperator(torch.eye(80, dtype=torch.float64)[:4])
    problem = ig.Problem(A, torch.zeros(4).double(), ig.noise.Gaussian(0.1))
    x = prior.sample(1000, 0)
    x = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    cloud = reached(TwistedSMC(prior), problem, x, sigma, 0.8 * sigma, 1.0)
    part = A.domain.inner(cloud.noise, cloud.noise_through) / cloud.noise.square().sum(1)
    between = part > 1.2 * 0.5 / (0.5 + sigma**2)
    assert 0.1 < between.double().mean() < 0.6 if sigma == 15 else not between.any()
    assert abs(variance_seen(A.domain, cloud, sigma) / 0.5 - 1) < 0.01


def test_forty_measurements_of_far_modes_take_few_levels():
    """As far from the mean of the posterior as chance leaves the number of independent particles."""
    case = CASES["mixture-80-40"]
    setting = case.setting(5)
    problem = measured(setting.operator, setting.prior, setting.noise.std.value, 5)
    posterior = setting.prior.posterior(problem)
    solver = TwistedSMC(DenoiserView(setting.prior, case.std), particles=200)
    result = solver(problem, samples=20, seed=0)
    assert result.stats["network_evaluations"] * 20 / 200 <= 130
    independent = float(result.stats["independent_particles"])
    assert independent > 10
    deviation = posterior.covariance().diagonal().sqrt()
    away = (result.samples.mean(0) - posterior.mean()) / deviation
    # samples are drawn from the particles with a chance of their own
    assert away.square().mean() < 2 * (1 / independent + 1 / 20)


def narrow():
    """A mixture whose noise is a ten-thousandth of its extent."""
    case = CASES["mixture-8-4"]
    setting = case.setting(5)
    truth = setting.prior.sample(1, 5)[0]
    noise = ig.noise.Gaussian(0.0017)
    problem = ig.Problem(setting.operator, noise.sample(setting.operator(truth), 6), noise)
    return DenoiserView(setting.prior, case.std), problem, setting.prior.posterior(problem)


def test_small_noise_is_no_failure():
    """Each mode is a thousandth as wide along the data as across."""
    prior, problem, posterior = narrow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        result = TwistedSMC(prior, particles=1000)(problem, samples=200, seed=0)
    A = problem.operator
    # the data are met within their noise: chi-square numbers of four degrees of freedom
    squares = ((A(result.samples) - problem.measurement) / 0.0017).square().sum(1)
    expected = ((A(posterior.sample(2000, 1)) - problem.measurement) / 0.0017).square().sum(1)
    assert abs(squares.mean() - expected.mean()) < 4 * expected.std() / 50**0.5


def test_failures_are_announced_with_a_remedy():
    prior, problem, _ = narrow()
    with pytest.warns(
        SamplingWarning, match="TwistedSMC: 200 samples were drawn from .* take more particles"
    ):
        result = TwistedSMC(prior, iterations=20, particles=200)(problem, samples=200, seed=0)
    assert result.stats["independent_particles"] < 100


def test_moves_keep_the_density_that_they_are_of():
    """Exact draws of noisy images, given one measurement, stay such; others come nearer."""
    prior, sigma, n = correlated(), 0.5, 20_000
    A = MatrixOperator(explicit(dense())[:1], SHAPE)
    problem, C = measured(A, prior, 0.2), prior.covariance()
    noisy = C + sigma**2 * torch.eye(8).double()
    J, a = C @ torch.linalg.inv(noisy), explicit(A)
    S = 0.2**2 + sigma**2 * a @ J @ a.mT
    precision = torch.linalg.inv(noisy) + J.mT @ a.mT @ a @ J / S
    covariance, m = torch.linalg.inv(precision), prior.mean().flatten()
    pull = J.mT @ a.mT @ (problem.measurement - A(prior.mean())) / S[0]
    values, axes = torch.linalg.eigh(covariance)
    z = torch.randn(n, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for spread, offset in ((1.0, 0.0), (1.3, 1.0)):
        before = offset + spread * z
        x = m + covariance @ pull + (before * values.sqrt()) @ axes.mT
        solver = TwistedSMC(prior, moves=3)
        cloud = reached(solver, problem, x.reshape(n, *SHAPE), sigma, 0.4, 1.0)
        crowd = Crowd(problem, n, n, solver.data_step)
        with torch.no_grad():
            moved = solver.mixed(crowd, cloud, 0.6, sigma, 1.0, Draws([1]))
        scores = ((moved.noisy.flatten(1) - m - covariance @ pull) @ axes) / values.sqrt()
        mean, variance = scores.mean(0).abs(), (scores.var(0) - 1).abs()
        if spread == 1:
            assert mean.max() < 4 / n**0.5
            assert variance.max() < 4 * (2 / n) ** 0.5
        else:  # nearer than before, the more the narrower a direction is
            assert bool((mean < 0.95 * before.mean(0)).all())
            assert bool((variance < before.var(0) - 1).all())
    assert not torch.equal(moved.noisy, cloud.noisy)
    assert bool((moved.evaluations == 4).all())
    assert torch.equal(moved.log_weights, cloud.log_weights)


def test_moves_need_the_density_of_noisy_images():
    prior, problem, _ = narrow()
    with pytest.raises(CapabilityError, match=r"log_prob\(x, sigma\).*DenoiserView has none"):
        TwistedSMC(prior, moves=1)
    prior = correlated()
    problem = measured(dense(), prior)
    result = TwistedSMC(prior, iterations=20, particles=100, kept=0.0, moves=2)(problem, samples=5, seed=0)
    # two more at each level but the first, of noise alone
    assert result.stats["network_evaluations"] == (20 + 2 * 19) * 100 / 5


def test_levels_are_put_between_where_weights_would_collapse():
    prior, problem, _ = narrow()
    few, more = (
        TwistedSMC(prior, iterations=30, particles=500, kept=kept)(problem, samples=10, seed=0)
        for kept in (0.0, 0.8)
    )
    assert few.stats["network_evaluations"] == 30 * 500 / 10
    assert more.stats["network_evaluations"] > 1.5 * few.stats["network_evaluations"]
    assert more.stats["independent_particles"] > few.stats["independent_particles"]


def test_the_work_between_two_levels_is_bounded_however_many_are_to_be_kept():
    prior, problem, _ = narrow()
    with pytest.warns(SamplingWarning):  # that there are too few particles for this problem
        result = TwistedSMC(prior, iterations=3, particles=20, kept=1.0)(problem, samples=10, seed=0)
    # 64 steps, of which the first is found in seven attempts and each other in two
    assert 64 * 2 < result.stats["network_evaluations"] * 10 / 20 <= 1 + 2 * (7 + 63 * 2)


def test_what_is_reported():
    prior = correlated()
    problem = measured(dense(), prior)
    solver = TwistedSMC(prior, iterations=20, particles=40, kept=0.0)
    few = solver(problem, samples=5, seed=0)
    assert few.stats["network_evaluations"] == 20 * 40 / 5
    effective = few.stats["effective_particles"]
    assert effective.shape == (20,)
    assert bool(((effective >= 1) & (effective <= 40 * (1 + 1e-12))).all())
    assert few.stats["lowest_effective_particles"] == effective.min()
    assert 1 <= few.stats["independent_particles"] <= few.stats["distinct_ancestors"] <= 40
    assert few.stats["disagreement"] < 4
    with pytest.warns(SamplingWarning, match="51 samples were drawn from"):
        # of two populations
        assert solver(problem, samples=51, seed=0).stats["particles"] == 52


def test_measurements_of_a_batch_do_not_touch_each_other():
    prior, A = correlated(), dense()
    y = A(prior.sample(3, 0))
    solver = TwistedSMC(prior, iterations=16, particles=40, kept=0.9)
    noise = ig.noise.Gaussian(0.01)
    together = solver(ig.Problem(A, y, noise), samples=4, seed=3)
    for i in range(3):
        alone = solver(ig.Problem(A, y[i], noise), samples=4, seed=3)
        assert torch.allclose(together.samples[:, i], alone.samples, rtol=1e-9, atol=1e-12)
        for name in ("independent_particles", "disagreement"):
            assert torch.isclose(together.stats[name][i], alone.stats[name])


def test_chunks_of_particles_change_nothing():
    prior = correlated()
    problem = measured(dense(), prior)
    whole, parts = (
        TwistedSMC(prior, iterations=10, chunk_size=chunk_size)(problem, samples=3, seed=4).samples
        for chunk_size in (None, 7)
    )
    assert torch.allclose(whole, parts, rtol=1e-9)


def test_what_does_not_fit_is_refused():
    prior = correlated()
    for name, value in {"particles": 1, "threshold": 1.5, "kept": -0.1, "cg_steps": 0}.items():
        with pytest.raises(ParameterError, match=name):
            TwistedSMC(prior, **{name: value})
    with pytest.raises(CapabilityError, match="derivative"):
        TwistedSMC(Numpy(), sigma_range=(0.1, 1.0))(measured(dense(), prior))


class Numpy(TVDenoiser):
    """Whose derivative PyTorch does not know."""

    def denoise(self, x, sigma):
        return x.detach() / 2
