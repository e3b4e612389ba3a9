"""The statistics of a scan among those of calibration scans: permutation p-values of few groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.plausibility.p_values import permutation_p_value

__all__ = ["Group", "combined", "compared"]

#: Calibration scans for each coefficient of a regression.
_PER_COEFFICIENT = 6

#: Standard deviation of a Gaussian over its median absolute deviation.
_MAD = 1.4826


@dataclass(frozen=True)
class Group:
    """Statistics that are compared together.

    Parameters
    ----------
    columns : tuple of int
        Of the table of statistics.
    signs : tuple of number, optional
        The direction of what is unexpected, plus or minus one for each statistic: the sum of the standardized
        statistics along it counts, O'Brien (1984), "Procedures for comparing samples with multiple
        endpoints". It sees what moves all of them a little, which the distance in many dimensions does not.
        By default Mahalanobis's distance counts, whatever the direction.
    """

    columns: tuple[int, ...]
    signs: tuple[float, ...] | None = None


def compared(
    values: Tensor, conditions: Tensor, groups: Mapping[str, Sequence[Group]]
) -> tuple[dict[str, float], Tensor]:
    """p-values of the last scan among all: one for each entry of `groups`, and "scan" by all groups.

    The statistics of all scans, the last among them, are regressed on the conditions under which they were
    measured, and what is left gives each scan one number for each group; several are `combined`. All scans
    are treated alike, so that the rank of the last among exchangeable ones is uniform, and each p-value
    exact: see `invgen.plausibility.permutation_p_value`.

    Parameters
    ----------
    values : float64 tensor, shape (scans, statistics)
    conditions : float64 tensor, shape (scans, conditions)
    groups : mapping of str to sequence of Group

    Returns
    -------
    dict of str to float
    tensor, shape (statistics,)
        How far each statistic of the last scan is from what is expected, in the others' standard deviations.
    """
    left = _regressed(values, conditions)
    surprises = {
        name: torch.stack([_surprise(left[:, list(each.columns)], each) for each in several])
        for name, several in groups.items()
    }
    p_values = {name: _last(combined(each)) for name, each in surprises.items()}
    p_values["scan"] = _last(combined(torch.cat(list(surprises.values()))))
    return p_values, left[-1] / left[:-1].std(0).clamp(min=1e-12)


def combined(surprises: Tensor) -> Tensor:
    """How unexpected scans are by several groups of statistics, from numbers of shape (groups, scans).

    The smallest p-value of a scan counts, those of its ranks among all scans: Tippett's combination, whose
    own p-value is by permutation (Westfall and Young 1993, "Resampling-based multiple testing"). Heavy tails
    of one group do not hide another, and groups may depend on each other. Of scans with the same smallest
    rank, each by its own group, that is the more unexpected which is further beyond most scans there.

    Returns
    -------
    float64 tensor, shape (scans,)
        Larger for the more unexpected; its order alone means something.
    """
    surprises = surprises.double().contiguous()
    # the number of scans that are at least as unexpected
    ranks = surprises.shape[1] - torch.searchsorted(surprises.sort(1).values, surprises, side="left")
    smallest = ranks.amin(0)
    middle = surprises.median(1, keepdim=True).values
    width = (surprises.quantile(0.9, 1, keepdim=True) - middle).clamp(min=1e-12)
    beyond = torch.where(ranks == smallest, (surprises - middle) / width, -torch.inf).amax(0)
    # less than one, and in the same order
    return torch.atan(beyond) / torch.pi - smallest


def _last(surprises: Tensor) -> float:
    return float(permutation_p_value(surprises[-1], surprises[:-1]))


def _surprise(left: Tensor, group: Group) -> Tensor:
    """One number for each scan, larger for the more unexpected."""
    if group.signs is None:
        return _distances(left)
    return (left / _width(left) * left.new_tensor(group.signs)).sum(1)


def _width(left: Tensor) -> Tensor:
    """Standard deviations, which a few scans far off do not change."""
    return (_MAD * (left - left.median(0).values).abs().median(0).values).clamp(min=1e-12)


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
    """Squares of Mahalanobis's distances from zero, of a covariance that is shrunk towards its diagonal."""
    scans, statistics = left.shape
    left = left / left.square().mean(0).sqrt().clamp(min=1e-12)
    correlation, part = left.T @ left / scans, min(1.0, statistics / scans)
    shrunk = (1 - part) * correlation + part * torch.eye(statistics, dtype=left.dtype)
    return (left * torch.linalg.solve(shrunk, left.T).T).sum(1)
