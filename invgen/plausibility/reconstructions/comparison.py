"""The statistics of a scan among those of calibration scans: a permutation p-value of many at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invgen.plausibility.p_values import permutation_p_value

__all__ = ["compared"]

#: Calibration scans for each coefficient of a regression.
_PER_COEFFICIENT = 6


def compared(
    values: Tensor, conditions: Tensor, groups: Sequence[Sequence[int]]
) -> tuple[list[float], Tensor]:
    """p-values of the last scan among all: one by each group of statistics, and one by all groups.

    The statistics of all scans, the last among them, are regressed on the conditions under which they were
    measured. How far each is from what is expected is Mahalanobis's distance, of a covariance that is shrunk
    towards its diagonal where scans are few. All scans are treated alike, so that the rank of the last among
    exchangeable ones is uniform, and the p-values exact: see `invgen.plausibility.permutation_p_value`. By
    all groups counts the largest of their distances, each in standard deviations of Gaussian statistics.

    Parameters
    ----------
    values : float64 tensor, shape (scans, statistics)
    conditions : float64 tensor, shape (scans, conditions)
    groups : sequences of columns of `values`

    Returns
    -------
    list of float
        One more than there are groups; the last is that by all.
    tensor, shape (statistics,)
        How far each statistic of the last scan is from what is expected, in the others' standard deviations.
    """
    left = _regressed(values, conditions)
    surprises = []
    for columns in groups:
        distances = _distances(left[:, list(columns)])
        surprises.append(_normal(distances, len(columns)))
    surprises.append(torch.stack(surprises).amax(0))
    p_values = [float(permutation_p_value(each[-1], each[:-1])) for each in surprises]
    return p_values, left[-1] / left[:-1].std(0).clamp(min=1e-12)


def _normal(distances: Tensor, statistics: int) -> Tensor:
    """Squares of distances as nearly standard normal numbers: Wilson and Hilferty (1931)."""
    spread = 2 / (9 * statistics)
    return ((distances / statistics) ** (1 / 3) - (1 - spread)) / spread**0.5


def _design(conditions: Tensor) -> Tensor:
    """Columns of a regression: one, the conditions that vary, and where scans are many their products."""
    spread = conditions.std(0)
    z = ((conditions - conditions.mean(0)) / spread.clamp(min=1e-12))[:, spread > 1e-3]
    pairs = [z[:, i] * z[:, j] for i in range(z.shape[1]) for j in range(i + 1)]
    columns = [torch.ones(len(z), dtype=z.dtype)]
    for more in (list(z.T), pairs):
        if _PER_COEFFICIENT * (len(columns) + len(more)) <= len(z):
            columns += more
    return torch.stack(columns, 1)


def _regressed(values: Tensor, conditions: Tensor) -> Tensor:
    """What a regression on the conditions leaves of the statistics."""
    matrix = _design(conditions)
    return values - matrix @ torch.linalg.lstsq(matrix, values, driver="gelsd").solution


def _distances(left: Tensor) -> Tensor:
    """Squares of Mahalanobis's distances from zero."""
    scans, statistics = left.shape
    left = left / left.square().mean(0).sqrt().clamp(min=1e-12)
    correlation, part = left.T @ left / scans, min(1.0, statistics / scans)
    shrunk = (1 - part) * correlation + part * torch.eye(statistics, dtype=left.dtype)
    return (left * torch.linalg.solve(shrunk, left.T).T).sum(1)
