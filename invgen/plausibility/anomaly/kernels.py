"""The distribution of a number of each image, by kernels around those of other images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from invgen.core.errors import DataError

__all__ = ["Kernels"]


class Kernels:
    """A Gaussian kernel around each of some numbers; its bandwidth is Scott's rule, ``std n^(-1/5)``.

    Parameters
    ----------
    points : sequence of float, at least two that differ

    Raises
    ------
    DataError
    """

    def __init__(self, points: Sequence[float]) -> None:
        self._points = known = torch.tensor(points, dtype=torch.float64)
        if known.ndim != 1 or len(known) < 2 or not float(known.std()) > 0:
            raise DataError("Kernels are around at least two numbers, which are finite and not all the same.")
        self._bandwidth = known.std() * len(known) ** -0.2

    def surprise(self, values: Tensor) -> Tensor:
        """Minus the logarithm of the density, in nats, of float64 values, shape (n,)."""
        return self._surprise(self._away(values))

    def own_surprises(self) -> Tensor:
        """`surprise` of the points, each by the kernels of the others."""
        away = self._away(self._points).fill_diagonal_(torch.inf)
        return self._surprise(away, left_out=1)

    def tail(self, values: Tensor) -> Tensor:
        """Minus the logarithm of the probability of what is larger, in nats, shape (n,)."""
        count = len(self._points)
        return math.log(count) - torch.logsumexp(torch.special.log_ndtr(-self._away(values)), 1)

    def _away(self, values: Tensor) -> Tensor:
        """Distances of values from the points in bandwidths, shape (n, points)."""
        return (values[:, None] - self._points) / self._bandwidth

    def _surprise(self, away: Tensor, left_out: int = 0) -> Tensor:
        constant = math.log(away.shape[1] - left_out) + torch.log(self._bandwidth) + math.log(2 * math.pi) / 2
        return constant - torch.logsumexp(-away.square() / 2, 1)
