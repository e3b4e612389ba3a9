"""p-values: exact levels, by counting; rates of false discoveries; intervals that cover."""

import numpy as np
import pytest
import torch
from scipy import stats

from invgen import plausibility
from invgen.core.errors import DataError, ParameterError, ShapeError


def test_p_values_are_counts():
    calibration = torch.tensor([1.0, 2.0, 2.0, 3.0])
    p = plausibility.permutation_p_value(torch.tensor([0.0, 2.0, 2.5, 9.0]), calibration)
    assert torch.equal(p, torch.tensor([5, 4, 2, 1], dtype=torch.float64) / 5)
    both = plausibility.permutation_p_value(torch.tensor([0.0, 2.0, 9.0]), calibration, side="both")
    assert torch.equal(both, torch.tensor([0.4, 1.0, 0.4], dtype=torch.float64))


@pytest.mark.parametrize("side", ["high", "both"])
@pytest.mark.parametrize("level", [0.01, 0.05, 0.1])
def test_the_type_one_error_is_the_level(level, side):
    trials, count = 4000, 199
    draws = torch.randn(trials, count + 1, generator=torch.Generator().manual_seed(0))
    rejected = sum(
        float(plausibility.permutation_p_value(row[:1], row[1:], side=side)) <= level for row in draws
    )
    low, high = stats.binom.interval(0.999, trials, level)
    assert low <= rejected <= high


def test_the_least_count_reaches_the_level_and_one_less_does_not():
    for level in (0.01, 0.05, 0.1, 0.03):
        for side in ("high", "both"):
            count = plausibility.least_count(level, side)
            for n, reached in ((count, True), (count - 1, False)):
                extreme = plausibility.permutation_p_value(torch.tensor(9.0), torch.zeros(n), side=side)
                assert bool(extreme <= level + 1e-12) == reached


def test_false_discoveries_are_those_of_scipy():
    p = torch.as_tensor(np.random.default_rng(0).beta(0.4, 2, 200))
    adjusted = stats.false_discovery_control(p.numpy())
    assert torch.equal(plausibility.false_discoveries(p, 0.1), torch.as_tensor(adjusted <= 0.1))
    assert not plausibility.false_discoveries(torch.ones(5, dtype=torch.float64)).any()


def test_the_interval_is_that_of_scipy():
    for count, total in ((0, 20), (3, 20), (20, 20)):
        expected = stats.binomtest(count, total).proportion_ci(0.95)
        assert plausibility.binomial_interval(count, total) == pytest.approx((expected.low, expected.high))


def test_what_has_no_p_value_is_refused():
    numbers = torch.zeros(3)
    with pytest.raises(ShapeError):
        plausibility.permutation_p_value(numbers, torch.zeros(0))
    with pytest.raises(DataError):
        plausibility.permutation_p_value(torch.tensor(float("nan")), numbers)
    with pytest.raises(ParameterError):
        plausibility.permutation_p_value(numbers, numbers, side="low")
    with pytest.raises(DataError):
        plausibility.false_discoveries(torch.tensor([1.5]))
    with pytest.raises(ParameterError):
        plausibility.least_count(1.0)
    with pytest.raises(ParameterError):
        plausibility.binomial_interval(3, 2)
