"""Simulation-based calibration and TARP: exact samplers pass, wrong ones are found, sbi agrees."""

import math
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pytest
import torch

import invgen as ig
from invgen.certification import DenoiserView, Ranks, find_case, rank_truths, uniformity
from invgen.certification.ranks import ranks_among


class Open(DenoiserView):
    """Shows the prior itself."""

    def __init__(self, prior, std):
        super().__init__(prior, std)
        self.exact = prior


@dataclass(frozen=True)
class Known:
    """Samples of the posterior itself; of one with another deviation and mean, or of the prior."""

    prior: Any
    spread: float = 1.0
    bias: float = 0.0
    ignores_data: bool = False

    def __call__(self, problem, samples, seed):
        alone = ig.Problem(problem.operator, problem.measurement[0], problem.noise)
        law = self.prior.exact if self.ignores_data else self.prior.exact.posterior(alone)
        x, mean = law.sample(samples, seed), law.mean()
        std = law.covariance().diagonal().real.sqrt().reshape(mean.shape)
        x = mean + self.bias * std + self.spread * (x - mean)
        return ig.Reconstruction(mean[None], x[:, None])


def opened(name):
    return replace(find_case(name), view=Open)


@cache
def found(name="dense-8", replicas=150, **wrong):
    return rank_truths(lambda view: Known(view, **wrong), opened(name), replicas=replicas)


@pytest.mark.parametrize("name", ["dense-8", "fourier-16", "mixture-8-1"])
def test_exact_samples_have_uniform_ranks(name):
    ranks = found(name)
    assert all(p > 1e-3 for p in ranks.chi_square().values())
    assert all(p > 1e-3 for p in ranks.ecdf_test().values())
    assert ranks.calibration > 0.01
    assert ranks.tarp > 0.01
    # fourth moments of uniform numbers: their variance has a deviation of sqrt(4 / 5 / n)
    assert ranks.variance == pytest.approx(1, abs=4 * math.sqrt(0.8 / 150))


@pytest.mark.parametrize("wrong", [{"spread": 0.7}, {"spread": 1.4}, {"bias": 0.6}])
def test_wrong_samples_are_found(wrong):
    ranks = found(**wrong)
    assert ranks.calibration < 1e-3
    assert ranks.tarp < 0.05
    low, high = ranks.coverage_band()
    assert not bool(((low <= ranks.coverage) & (ranks.coverage <= high)).all())


def test_ranks_are_u_shaped_where_samples_are_too_narrow():
    narrow, wide = found(spread=0.7), found(spread=1.4)
    pixel = torch.bincount(narrow.ranks["pixel 0"] // 20, minlength=5)
    assert int(pixel[[0, 4]].min()) > int(pixel[2])
    assert narrow.variance > 1.2
    assert wide.variance < 0.8


def test_samples_of_the_prior_pass_by_pixels_and_fail_by_their_likelihood():
    """As Modrák et al. show: pixels of prior samples rank uniformly whatever was measured."""
    p = found("isotropic-8", ignores_data=True).chi_square()
    assert all(p[name] > 1e-3 for name in p if name.startswith("pixel"))
    assert p["log-likelihood"] < 1e-10


def test_expected_coverage_of_a_wide_gaussian_is_that_of_integration():
    """In one dimension, of N(0, s^2) for N(0, 1), about a far point: balls are half-lines."""
    n, s = 4000, 1.5
    g = torch.Generator().manual_seed(0)
    truths = torch.randn(n, generator=g, dtype=torch.float64)
    samples = s * torch.randn(n, 99, generator=g, dtype=torch.float64)
    ranks = Ranks(99, {"distance": ranks_among((samples + 100).abs(), (truths + 100).abs(), g)})
    level = torch.tensor([0.1, 0.25, 0.75, 0.9], dtype=torch.float64)
    expected = torch.special.ndtr(s * torch.special.ndtri(level))
    got = ranks.coverage[(level * 100).long()]
    torch.testing.assert_close(got, expected, rtol=0, atol=0.03)  # of chance 0.008 and 99 samples 0.01
    assert ranks.gap == pytest.approx(float((ranks.coverage - torch.linspace(0, 1, 101)).abs().max()))


def test_ties_are_broken_evenly():
    g = torch.Generator().manual_seed(0)
    ranks = ranks_among(torch.zeros(5000, 9), torch.zeros(5000), g)
    assert uniformity.chi_square(ranks, 9) > 1e-3
    ranks = ranks_among(torch.tensor([[0.0, 1, 1, 2]]).expand(3000, 4), torch.ones(3000), g)
    assert sorted(ranks.unique().tolist()) == [1, 2, 3]


def test_ranks_follow_from_the_seed_and_count_evaluations():
    short = partial(ig.solvers.DDS, iterations=5)
    one, same = (rank_truths(short, "dense-2", replicas=10, samples=9, seed=3) for _ in range(2))
    assert one.evaluations == 5
    assert all(torch.equal(one.ranks[name], same.ranks[name]) for name in one.ranks)
    assert set(one.ranks) == {"pixel 0", "pixel 1", "log-likelihood", "log-prior", "distance"}
    other = rank_truths(short, "dense-2", replicas=10, samples=9, seed=4)
    assert not torch.equal(other.ranks["pixel 0"], one.ranks["pixel 0"])


def test_some_of_more_samples_are_ranked():
    ranks = rank_truths(Known, opened("dense-2"), replicas=20, samples=9, drawn=40)
    assert ranks.samples == 9
    assert max(int(r.max()) for r in ranks.ranks.values()) <= 9
    with pytest.raises(ig.errors.ParameterError, match="chosen of those drawn"):
        rank_truths(Known, opened("dense-2"), samples=9, drawn=8)


def test_truths_of_a_batch_are_each_ranked_among_their_own():
    def given(view):
        def solve(problem, samples, seed):
            each = [
                view.exact.posterior(ig.Problem(problem.operator, y, problem.noise)).sample(samples, seed)
                for y in problem.measurement
            ]
            drawn = torch.stack(each, 1)
            return ig.Reconstruction(drawn.mean(0), drawn, drawn.std(0))

        return solve

    ranks = rank_truths(given, opened("dense-8"), replicas=200, samples=19, measurements=10)
    assert all(len(r) == 200 for r in ranks.ranks.values())
    assert ranks.calibration > 1e-3
    assert ranks.tarp > 1e-3
    with pytest.raises(ig.errors.ParameterError, match="whole number of batches"):
        rank_truths(given, opened("dense-8"), replicas=25, measurements=10)


def test_numbers_that_cannot_be_tested_are_refused_at_once():
    with pytest.raises(ig.errors.ParameterError, match="bins of equal size"):
        rank_truths(ig.solvers.DDS, "dense-2", replicas=20, samples=12)


def test_a_prior_without_density_is_ranked_without_it():
    assert "log-prior" not in found("low-rank-16", replicas=10).ranks


def test_expected_coverage_is_that_of_sbi():
    tarp = pytest.importorskip("sbi.diagnostics.tarp", reason="sbi is not installed: pip install sbi")
    g = torch.Generator().manual_seed(0)
    truths, points = torch.randn(300, 3, generator=g), torch.randn(300, 3, generator=g)
    samples = 1.3 * torch.randn(99, 300, 3, generator=g)
    theirs, levels = tarp._run_tarp(samples, truths, points, z_score_theta=False)
    far = (samples - points).norm(dim=-1).mT, (truths - points).norm(dim=-1)
    ours = Ranks(99, {"distance": ranks_among(*far, g)}).coverage
    # their levels are parts of 99 samples; at those that are none, the next rank has the same coverage
    places = 99 * levels.double()
    between = (places - places.round()).abs() > 1e-3
    assert int(between.sum()) > 15
    torch.testing.assert_close(theirs[between].double(), ours[places[between].ceil().long()])


@pytest.mark.slow
def test_five_hundred_replicas_of_exact_samples_pass_at_one_percent():
    for name in ("dense-8", "mixture-8-4"):
        ranks = found(name, replicas=500)
        assert ranks.calibration > 0.01
        low, high = ranks.coverage_band()
        assert bool(((low <= ranks.coverage) & (ranks.coverage <= high)).all()) == (ranks.tarp > 0.05)
