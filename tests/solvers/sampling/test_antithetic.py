"""Samples in antithetic pairs."""

import dataclasses
import math

import pytest
import torch

import invgen as ig
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian, GaussianMixture
from invgen.solvers import (
    DAPS,
    DDS,
    AnnealedLangevin,
    DiffPIR,
    PiGDM,
    PreconditionedLangevin,
    SplitGibbs,
    TwistedSMC,
)

from ..sampled import resumed


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(batch=(), dtype=torch.float64):
    """Three measurements of four pixels with a Gaussian prior, and a prior that noise levels are known of."""
    prior = Gaussian(normal(2, 2, seed=1, dtype=dtype), torch.tensor([[0.2, 1.0], [2.0, 0.5]]).double())
    A = MatrixOperator(normal(3, 4, seed=2, dtype=dtype), image_shape=(2, 2))
    x, noise = prior.sample(math.prod(batch), seed=3).reshape(*batch, 2, 2), Noise(0.3)
    return prior, ig.Problem(A, noise.sample(A(x), seed=4), noise)


def solver_of(kind, prior):
    levels = {"rho_range" if kind is SplitGibbs else "sigma_range": (0.02, 10.0)}
    return kind(prior, iterations=40, antithetic=True, **levels)


LINEAR = [SplitGibbs, PreconditionedLangevin, AnnealedLangevin, PiGDM, DiffPIR, DDS, DAPS]


def test_draws_of_a_pair_are_equal_and_opposite():
    like = torch.empty(5, 3, 2, dtype=torch.complex128)
    draws = Draws.antithetic(range(7, 12), 7)
    first, alone = draws(like), Draws([7, 9, 11])(like[:3])
    assert torch.equal(first[::2], alone)
    assert torch.equal(first[1::2], -alone[:2])
    # the signs are part of what is needed to go on, wherever the samples are cut
    resumed_draws, part = Draws(draws.state), Draws.antithetic(range(10, 12), 7)
    part(like[:2])
    again = draws(like)
    assert torch.equal(resumed_draws(like), again)
    assert torch.equal(part(like[:2]), again[3:])


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_on_a_gaussian_prior_the_mean_of_a_pair_has_no_chance_in_it(kind, dtype):
    prior, problem = small(dtype=dtype)
    solver = solver_of(kind, prior)
    drawn = solver(problem, samples=4, seed=0)
    one, other = drawn.samples[:2].mean(0), drawn.samples[2:].mean(0)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert float((drawn.samples[0] - drawn.samples[1]).abs().min()) > 1e-3
    # and each first sample is what it was
    alone = dataclasses.replace(solver, antithetic=False)(problem, samples=3, seed=0).samples
    torch.testing.assert_close(drawn.samples[::2], alone[::2])


def test_mean_of_a_pair_is_the_posteriors_and_each_sample_is_of_its_law():
    prior, problem = small()
    pairs = 300
    drawn = SplitGibbs(prior, antithetic=True)(problem, samples=2 * pairs, seed=0)
    exact = prior.posterior(problem)
    covariance = exact.covariance()
    std = covariance.diagonal().sqrt().reshape(2, 2)
    # what is left is the bias of the chain, of 100 iterations; n independent samples have std / sqrt(n)
    assert float(((drawn.samples[:2].mean(0) - exact.mean()) / std).abs().max()) < 0.01
    for own in (drawn.samples[::2], drawn.samples[1::2]):
        off = (own - exact.mean()).flatten(1)
        assert float((off.mean(0) / std.flatten()).abs().max()) < 4.5 / math.sqrt(pairs) + 0.01
        scaled = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), off.mT, upper=False)
        error = scaled @ scaled.mT / pairs - torch.eye(4)
        assert float(error.abs().max()) < 4.5 * math.sqrt(2 / pairs) + 0.02


def test_std_and_intervals_of_few_pairs_are_right():
    """Averaged over runs: of pairs that are exactly symmetric, in closed form."""
    prior, problem = small()
    exact = prior.posterior(problem)
    std, truths = exact.covariance().diagonal().sqrt().reshape(2, 2), exact.sample(4000, seed=7)
    samples = SplitGibbs(prior, antithetic=True)(problem, samples=8 * 60, seed=0).samples
    ratios, covered = [], []
    for own in samples.unflatten(0, (60, 8)):
        found = ig.Reconstruction(own.mean(0), own, antithetic=True)
        low, high = found.interval(0.9)
        covered.append(((low <= truths) & (truths <= high)).double().mean())
        away = (own[::2] - own[1::2]) / 2
        ratios.append((away.square().mean(0) / std**2).mean())
        # t of four degrees of freedom, 5 % above
        torch.testing.assert_close(
            high - low, 2 * 2.1318468 * away.square().mean(0).sqrt(), rtol=1e-5, atol=1e-7
        )
    ratios, covered = torch.stack(ratios), torch.stack(covered)
    for values, wanted in ((ratios, 1.0), (covered, 0.9)):
        error = float(values.std()) / math.sqrt(60)
        assert abs(float(values.mean()) - wanted) < 4 * error + 0.01
    whole = SplitGibbs(prior, antithetic=True)(problem, samples=8, seed=0)
    away = (whole.samples[::2] - whole.samples[1::2]) / 2
    torch.testing.assert_close(whole.std, away.square().mean(0).sqrt(), rtol=1e-5, atol=1e-7)


def test_the_odds_of_modes_are_those_of_the_posterior_in_both_of_a_pair():
    prior = GaussianMixture(torch.tensor([[1.0, 3.0], [1.0, -3.0]]).double(), 0.05, [0.75, 0.25])
    A = MatrixOperator(torch.tensor([[1.0, 0.0]]).double(), (2,))
    problem, pairs = ig.Problem(A, torch.tensor([1.0]).double(), Noise(0.2)), 200
    x = SplitGibbs(prior, antithetic=True)(problem, samples=2 * pairs, seed=0).samples
    up = (x[:, 1] > 0).double()
    for own in (up[::2], up[1::2]):
        assert abs(float(own.mean()) - 0.75) < 0.02 + 4 * math.sqrt(0.75 * 0.25 / pairs)
    assert float((up[::2] * up[1::2]).mean()) < float(up.mean()) ** 2


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time(chunk_size, tmp_path):
    prior, problem = small((2,))
    solver = solver_of(SplitGibbs, prior)
    whole = solver(problem, samples=5, seed=3)
    parts = dataclasses.replace(solver, chunk_size=chunk_size)
    torch.testing.assert_close(parts(problem, samples=5, seed=3).samples, whole.samples)
    # those of a larger call are the same, and those of a call that begins with a later pair
    torch.testing.assert_close(solver(problem, samples=3, seed=3).samples, whole.samples[:3])
    torch.testing.assert_close(solver(problem, samples=3, seed=5).samples, whole.samples[2:])
    *_, last = solver.iterate(problem, samples=5, seed=3)
    torch.testing.assert_close(last.x, whole.samples)
    zero = parts(problem, samples=5, seed=0).samples
    assert torch.equal(resumed(parts, problem, 5, tmp_path / "run", at=7).samples, zero)


def test_a_batch_draws_what_its_elements_draw():
    prior, problem = small((3,))
    solver = solver_of(SplitGibbs, prior)
    drawn = solver(problem, samples=4, seed=0)
    assert drawn.antithetic
    assert drawn.std.shape == (3, 2, 2)
    for i, y in enumerate(problem.measurement):
        alone = solver(ig.Problem(problem.operator, y, problem.noise), samples=4, seed=0)
        torch.testing.assert_close(alone.samples, drawn.samples[:, i], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(alone.std, drawn.std[i], rtol=1e-5, atol=1e-6)


def test_particles_have_no_pairs():
    prior, _ = small()
    with pytest.raises(ParameterError, match="leave out antithetic"):
        TwistedSMC(prior, antithetic=True)


def test_antithetic_is_true_or_false():
    prior, _ = small()
    with pytest.raises(ParameterError, match="True or False"):
        SplitGibbs(prior, antithetic="no")


def test_what_needs_independent_samples_refuses_pairs():
    with pytest.raises(ParameterError, match="leave out antithetic"):
        ig.certification.certify(
            lambda prior: SplitGibbs(prior, iterations=4, antithetic=True), "dense-2", samples=200, rounds=2
        )


def test_a_pair_is_computed_on_one_device():
    from invgen.pipeline.work import _shares

    for samples in range(1, 20):
        for devices in range(1, 6):
            shares = _shares(range(5, 5 + samples), devices, 2)
            assert [seed for share in shares for seed in share] == list(range(5, 5 + samples))
            assert len(shares) <= devices
            assert all((share.start - 5) % 2 == 0 for share in shares)
