"""p-values by calibration data, how many of them may be called discoveries, and intervals of proportions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError

__all__ = ["binomial_interval", "false_discoveries", "least_count", "permutation_p_value"]


def permutation_p_value(
    observed: Tensor, calibration: Tensor, *, side: Literal["high", "both"] = "high"
) -> Tensor:
    r"""p-values of statistics that are large, or unusual, among those of calibration data.

    ``p = (1 + #{s_i >= s}) / (N + 1)`` for the statistics s_i of N calibration images: Song et al. (2018),
    "PixelDefend", section 4.1, with s = -log p(x). Where image and calibration images are exchangeable
    (independent draws of one distribution), P(p <= level) is at most the level, and equal to it where
    ``level (N + 1)`` is a whole number and no two statistics are equal: Phipson and Smyth (2010).

    Parameters
    ----------
    observed : real tensor, any shape
    calibration : real tensor, shape (N,)
        Statistics of data that nothing was fitted to, the prior neither.
    side : {"high", "both"}
        "both": twice the smaller of the p-values of large and of small statistics, at most one.

    Returns
    -------
    tensor, float64, shape of `observed`

    Raises
    ------
    ShapeError, DataError, ParameterError
        Without calibration data, and where a statistic is not a number.
    """
    if side not in ("high", "both"):
        raise ParameterError(f'side is "high" or "both"; got {side!r}.')
    if calibration.ndim != 1 or not len(calibration):
        raise ShapeError(f"calibration is one number of each image, (N,); got {tuple(calibration.shape)}.")
    s, known = observed.detach().double().cpu(), calibration.detach().double().cpu().sort().values
    if bool(s.isnan().any()) or bool(known.isnan().any()):
        raise DataError("A statistic is not a number, of which there is no p-value.")
    count = len(known)
    high = (1 + count - torch.searchsorted(known, s, side="left")).double() / (count + 1)
    if side == "high":
        return high
    low = (1 + torch.searchsorted(known, s, side="right")).double() / (count + 1)
    return (2 * torch.minimum(low, high)).clamp(max=1)


def least_count(level: float, side: Literal["high", "both"] = "high") -> int:
    """Smallest number of calibration images with which a p-value can be as small as the level.

    Raises
    ------
    ParameterError
        For a level that is not between zero and one.
    """
    smallest = _level(level) / (2 if side == "both" else 1)
    # 1 / 0.05 is 20 but for rounding
    return math.ceil(1 / smallest - 1e-9) - 1


def false_discoveries(p_values: Tensor, level: float = 0.05) -> Tensor:
    """Which of many hypotheses are rejected, at an expected fraction of false rejections of at most `level`.

    Benjamini and Hochberg (1995), "Controlling the false discovery rate", eq. 1. The rate is controlled for
    independent p-values, and for those that share their calibration data: Bates et al. (2023), "Testing for
    outliers with conformal p-values", theorem 2.

    Parameters
    ----------
    p_values : real tensor, shape (n,)
    level : float

    Returns
    -------
    bool tensor, shape (n,)

    Raises
    ------
    ShapeError, DataError, ParameterError
    """
    if p_values.ndim != 1:
        raise ShapeError(f"p_values is one number of each hypothesis, (n,); got {tuple(p_values.shape)}.")
    if not bool(((p_values >= 0) & (p_values <= 1)).all()):
        raise DataError("p-values are numbers from zero to one.")
    ordered, order = p_values.double().sort()
    ranks = torch.arange(1, len(ordered) + 1, dtype=torch.float64)
    below = (ordered <= ranks * _level(level) / max(1, len(ordered))).nonzero()
    rejected = torch.zeros(len(ordered), dtype=torch.bool)
    if len(below):
        rejected[order[: int(below[-1]) + 1]] = True
    return rejected


def binomial_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a probability, by successes in trials: Clopper and Pearson (1934).

    Raises
    ------
    ParameterError
    """
    from scipy.stats import beta

    total = as_count(total, "total")
    count = as_count(count, "count", least=0)
    if count > total:
        raise ParameterError(f"{count} successes in {total} trials.")
    tail = (1 - _level(confidence)) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def _level(level: float) -> float:
    """A probability that is neither zero nor one."""
    if not 0 < level < 1:
        raise ParameterError(f"A level or a confidence is between 0 and 1; got {level!r}.")
    return float(level)
