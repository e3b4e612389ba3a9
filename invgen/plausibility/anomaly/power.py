"""How well a statistic separates outliers from inliers: ROC, the area below it, and the power at a level."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.plausibility.p_values import binomial_interval

__all__ = ["Proportion", "Roc", "auroc", "power", "roc"]


class Roc(NamedTuple):
    """Points of a receiver operating characteristic, float64, from (0, 0) to (1, 1).

    Attributes
    ----------
    false_positives, true_positives : tensor, shape (k + 1,)
        Fraction of inliers, and of outliers, whose statistic is at least the threshold.
    thresholds : tensor, shape (k + 1,)
        Infinity, and the k different values of the statistic from the largest on.
    """

    false_positives: Tensor
    true_positives: Tensor
    thresholds: Tensor


class Proportion(NamedTuple):
    """A probability that is estimated, and its confidence interval.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def roc(inliers: Tensor, outliers: Tensor) -> Roc:
    """The receiver operating characteristic of a statistic that is larger for outliers.

    Parameters
    ----------
    inliers, outliers : real tensor, shape (n,) and (m,)

    Raises
    ------
    ShapeError, DataError
    """
    n, m = _checked(inliers, "inliers"), _checked(outliers, "outliers")
    thresholds = torch.cat([n, m]).unique(sorted=True).flip(0)
    rates = []
    for values in (n, m):
        below = torch.searchsorted(values.sort().values, thresholds, side="left")
        rate = 1 - below.double() / len(values)
        rates.append(torch.cat([rate.new_zeros(1), rate]))
    return Roc(rates[0], rates[1], torch.cat([thresholds.new_full((1,), math.inf), thresholds]))


def auroc(inliers: Tensor, outliers: Tensor, confidence: float = 0.95) -> Proportion:
    """Area under the ROC: how often an outlier's statistic is above an inlier's, ties counted half.

    The interval is that of DeLong, DeLong and Clarke-Pearson (1988), for the logit of the area, which keeps
    it within 0 and 1 (Pepe 2003, "The statistical evaluation of medical tests for classification and
    prediction", chapter 5). Where all outliers are above all inliers, or below, that variance is zero, and
    the interval is the binomial one of min(n, m) independent pairs.

    Parameters
    ----------
    inliers, outliers : real tensor, shape (n,) and (m,)
    confidence : float

    Raises
    ------
    ShapeError, DataError, ParameterError
        Also for fewer than two of each.
    """
    x, y = _checked(inliers, "inliers", 2), _checked(outliers, "outliers", 2)
    of_outliers, of_inliers = _placements(y, x), 1 - _placements(x, y)
    area = float(of_outliers.mean())
    variance = float(of_outliers.var() / len(y) + of_inliers.var() / len(x))
    if variance == 0 or not 0 < area < 1:
        pairs = min(len(x), len(y))
        return Proportion(area, *binomial_interval(round(area * pairs), pairs, confidence))
    if not 0 < confidence < 1:
        raise ParameterError(f"A confidence is between 0 and 1; got {confidence!r}.")
    quantile = float(torch.special.ndtri(torch.tensor((1 + confidence) / 2, dtype=torch.float64)))
    logit, reach = math.log(area / (1 - area)), quantile * math.sqrt(variance) / (area * (1 - area))
    return Proportion(area, *(1 / (1 + math.exp(-(logit + side * reach))) for side in (-1, 1)))


def power(p_values: Tensor, level: float, confidence: float = 0.95) -> Proportion:
    """Fraction of p-values that are at most the level, with the interval of Clopper and Pearson (1934).

    Of outliers this is the power of the test, of inliers its type-I error.

    Raises
    ------
    ShapeError, DataError, ParameterError
    """
    p = _checked(p_values, "p_values")
    count = int((p <= level).sum())
    return Proportion(count / len(p), *binomial_interval(count, len(p), confidence))


def _placements(values: Tensor, others: Tensor) -> Tensor:
    """Of each value, the part of the others that is below, equal ones counted half."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, values, side="left")
    not_above = torch.searchsorted(ordered, values, side="right")
    return (below + not_above).double() / (2 * len(others))


def _checked(values: Tensor, name: str, least: int = 1) -> Tensor:
    if values.ndim != 1 or len(values) < least:
        raise ShapeError(
            f"{name} is one number of each image, (n,) with n >= {least}; got {tuple(values.shape)}."
        )
    found = values.detach().double().cpu()
    if bool(found.isnan().any()):
        raise DataError(f"{name} holds what is not a number.")
    return found
