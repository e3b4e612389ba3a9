"""Tests of uniform ranks against SciPy, exact probabilities, and ranks that are not uniform."""

import math

import pytest
import torch
from scipy import stats

import invgen as ig
from invgen.certification import uniformity


def uniform(n, highest=99, seed=0):
    return torch.randint(highest + 1, (n,), generator=torch.Generator().manual_seed(seed))


def test_chi_square_is_that_of_scipy():
    ranks = uniform(500)
    counts = torch.bincount(ranks // 5, minlength=20)
    assert uniformity.chi_square(ranks, 99) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-9)
    assert uniformity.chi_square(uniform(30, 19), 19) == pytest.approx(
        stats.chisquare(torch.bincount(uniform(30, 19) // 4, minlength=5)).pvalue, rel=1e-9
    )
    with pytest.raises(ig.errors.ParameterError, match="99 samples"):
        uniformity.chi_square(uniform(500, 100), 100)  # 101 ranks have no bins of equal size
    with pytest.raises(ig.errors.ParameterError, match="ten replicas"):
        uniformity.chi_square(uniform(9), 99)


def test_distribution_function_counts_ranks_below():
    found = uniformity.ecdf(torch.tensor([0, 0, 2, 3]), 3)
    assert found.tolist() == [0, 0.5, 0.5, 0.75, 1]


def test_band_holds_uniform_ranks_as_often_as_it_says():
    """Of 400 sets, 0.9 within four standard errors; and the test is the band at its own level."""
    low, high = uniformity.band(100, 19, 0.9)
    inside = 0
    for seed in range(400):
        ranks = uniform(100, 19, seed)
        e = uniformity.ecdf(ranks, 19)
        within = bool(((low <= e) & (e <= high)).all())
        inside += within
        if seed < 50:
            assert within == (uniformity.ecdf_test(ranks, 19) > 0.1)
    assert inside / 400 == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 400))


def test_band_of_one_place_is_the_binomial_interval():
    """Of samples of one, the only place is one half."""
    low, high = uniformity.band(200, 1, 0.95)
    count = stats.binom.cdf(round(200 * float(high[1])), 200, 0.5) - stats.binom.cdf(
        round(200 * float(low[1])) - 1, 200, 0.5
    )
    assert 0.95 <= count < 0.97
    assert (low[0], high[0], low[2], high[2]) == (0, 0, 1, 1)


@pytest.mark.parametrize("test", [uniformity.chi_square, uniformity.ecdf_test])
def test_uneven_ranks_are_found(test):
    x = torch.randn(500, 100, generator=torch.Generator().manual_seed(0))
    truth = x[:, 0]

    def ranks(samples):
        return (samples < truth[:, None]).sum(1)

    assert test(ranks(x[:, 1:]), 99) > 0.01
    for wrong in (0.7 * x[:, 1:], 1.4 * x[:, 1:], x[:, 1:] + 0.3):
        assert test(ranks(wrong), 99) < 1e-3


def test_a_band_has_a_level():
    with pytest.raises(ig.errors.ParameterError, match="between 0 and 1"):
        uniformity.band(100, 9, 1.0)
