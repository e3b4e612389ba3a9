"""ROC, AUROC and power: by hand, against scikit-learn, and intervals that cover what they should."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.plausibility.anomaly import auroc, power, roc


def draws(n, seed, shift=0.0, digits=None):
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift
    return x if digits is None else (x * 10**digits).round() / 10**digits


def labelled(inliers, outliers):
    return np.r_[np.zeros(len(inliers)), np.ones(len(outliers))], torch.cat([inliers, outliers]).numpy()


@pytest.mark.parametrize("digits", [None, 0])
def test_the_roc_is_that_of_scikit_learn_also_with_ties(digits):
    inliers, outliers = draws(70, 0, digits=digits), draws(40, 1, 1.0, digits)
    found = roc(inliers, outliers)
    wanted = roc_curve(*labelled(inliers, outliers), drop_intermediate=False)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize("digits", [None, 0])
def test_the_area_is_that_of_scikit_learn_and_of_the_trapezoids(digits):
    inliers, outliers = draws(70, 0, digits=digits), draws(40, 1, 1.0, digits)
    found = auroc(inliers, outliers)
    assert found.value == pytest.approx(roc_auc_score(*labelled(inliers, outliers)), abs=1e-12)
    curve = roc(inliers, outliers)
    area = torch.trapezoid(curve.true_positives, curve.false_positives)
    assert found.value == pytest.approx(float(area), abs=1e-12)
    assert found.low < found.value < found.high


def test_equal_values_count_half():
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])).value == 0.875
    assert auroc(torch.ones(5), torch.ones(7)).value == 0.5


def test_the_variance_is_that_of_delong_by_hand():
    """Inliers 1, 3, outliers 2, 4: placements of outliers 1/2 and 1, of inliers 1 and 1/2; area 3/4."""
    found = auroc(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0]), confidence=0.6826894921370859)
    deviation = math.sqrt(0.125 / 2 + 0.125 / 2)  # one standard deviation to each side
    logit = math.log(3)
    assert found.value == 0.75
    assert math.log(found.high / (1 - found.high)) == pytest.approx(logit + deviation / (0.75 * 0.25))
    assert math.log(found.low / (1 - found.low)) == pytest.approx(logit - deviation / (0.75 * 0.25))


def test_intervals_cover_the_area_as_often_as_they_say():
    """Gaussians a distance d apart have the area Phi(d / sqrt 2)."""
    exact = float(torch.special.ndtr(torch.tensor(1.5 / math.sqrt(2))))
    hits = 0
    for seed in range(400):
        found = auroc(draws(40, 2 * seed), draws(30, 2 * seed + 1, 1.5), confidence=0.9)
        hits += found.low <= exact <= found.high
    assert abs(hits / 400 - 0.9) < 4 * math.sqrt(0.9 * 0.1 / 400)


def test_statistics_that_do_not_overlap_have_an_interval_nonetheless():
    found = auroc(draws(50, 0), 100 + draws(30, 1))
    # no failure in 30 independent pairs
    assert found == (1.0, pytest.approx(0.025 ** (1 / 30)), 1.0)
    below = auroc(draws(50, 0), draws(30, 1) - 100)
    assert below == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 30)))


def test_power_counts_p_values_at_the_level():
    found = power(torch.tensor([0.01, 0.05, 0.0500001, 0.9], dtype=torch.float64), 0.05)
    assert found.value == 0.5
    assert (found.low, found.high) == (pytest.approx(0.0676, abs=1e-4), pytest.approx(0.9324, abs=1e-4))


def test_what_is_no_statistic_is_refused():
    with pytest.raises(ShapeError, match="inliers"):
        auroc(torch.ones(1), torch.ones(5))
    with pytest.raises(ShapeError, match="outliers"):
        roc(torch.ones(5), torch.ones(5, 2))
    with pytest.raises(DataError, match="not a number"):
        roc(torch.ones(5), torch.tensor([1.0, math.nan]))
    with pytest.raises(ParameterError, match="confidence"):
        auroc(draws(9, 0), draws(9, 1), confidence=1.5)
