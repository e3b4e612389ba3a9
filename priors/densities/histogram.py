"""Histograms, whose number of bins is that of least risk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.core.space import check_finite
from invgen.priors.densities.points import as_points, format_of_points, uniforms
from invgen.priors.image_format import ImageFormat

__all__ = ["Histogram", "cross_validated_risk"]

#: Numbers of bins along a side that are tried, at most.
_TRIED = 200

#: Bins of a histogram in all, at most: 128 MB.
_BINS = 2**24


class Histogram(Frozen):
    """A density that is constant in each of equal bins of a box, and zero outside of it.

    Its logarithm is minus infinity outside of the box and in empty bins. The density has no gradient that
    helps a solver: it is zero within each bin.

    Parameters
    ----------
    low, high : sequences of D numbers
        Corners of the box; the box includes them.
    probabilities : non-negative tensor, shape (m_1, ..., m_D)
        Of the bins; divided by their sum.

    Raises
    ------
    ShapeError, ParameterError, DataError
        Where the arguments do not describe a histogram.
    """

    def __init__(self, low: Any, high: Any, probabilities: Any) -> None:
        low, high = (torch.as_tensor(corner, dtype=torch.float64).reshape(-1) for corner in (low, high))
        p = torch.as_tensor(probabilities, dtype=torch.float64)
        if not len(low) == len(high) == p.ndim or p.numel() == 0:
            raise ShapeError(
                f"A histogram in {p.ndim} dimensions has corners of {p.ndim} numbers; got {len(low)} and "
                f"{len(high)}."
            )
        check_finite(torch.cat([low, high, p.flatten()]), "Histogram")
        if not bool((low < high).all()):
            raise ParameterError(f"low is below high in each coordinate; got {low} and {high}.")
        if bool((p < 0).any()) or not float(p.sum()) > 0:
            raise ParameterError("Probabilities of bins are not negative, and not all zero.")
        self._low, self._high, self._probabilities = Constant(low), Constant(high), Constant(p / p.sum())

    def __repr__(self) -> str:
        return f"Histogram({' x '.join(map(str, self.probabilities.shape))} bins)"

    @property
    def image_format(self) -> ImageFormat:
        """Points of the shape (D,)."""
        return format_of_points(self.probabilities.ndim)

    @property
    def low(self) -> Tensor:
        """Lower corner of the box, float64, shape (D,)."""
        return self._low.value

    @property
    def high(self) -> Tensor:
        """Upper corner of the box, float64, shape (D,)."""
        return self._high.value

    @property
    def probabilities(self) -> Tensor:
        """Of the bins, float64, shape (m_1, ..., m_D); their sum is one."""
        return self._probabilities.value

    @property
    def widths(self) -> Tensor:
        """Sides of a bin, float64, shape (D,)."""
        return (self.high - self.low) / torch.tensor(self.probabilities.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density, shape of the batch; minus infinity outside of the box.

        Parameters
        ----------
        x : tensor, shape (*batch, D)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(x, "Histogram.log_prob")
        # edges of bins are where they are in double precision, whatever that of the points
        points = x.detach().double()
        low, high, p = (each.like(points) for each in (self._low, self._high, self._probabilities))
        inside = ((points >= low) & (points <= high)).all(-1)
        p = torch.where(inside, p.flatten()[_cells(points, low, high, p.shape)], 0.0)
        return (torch.log(p) - torch.log(self.widths).sum()).to(x)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n points, float64, shape (n, D); point i follows from ``seed + i``."""
        u = uniforms(n, seed, len(self.low) + 1)
        total = self.probabilities.flatten().cumsum(0)
        # among the bins that have some probability, also where u is within rounding of one
        cells = torch.searchsorted(total, u[:, 0] * total[-1], right=True)
        cells = cells.clamp(max=int(torch.nonzero(self.probabilities.flatten())[-1]))
        index = torch.stack(torch.unravel_index(cells, self.probabilities.shape), -1)
        return self.low + (index + u[:, 1:]) * self.widths

    @classmethod
    def fit(cls, data: Tensor, bins: int | Sequence[int] | str = "risk") -> Self:
        """The histogram of data, over the least box that holds them.

        Parameters
        ----------
        data : real tensor, shape (n, D)
        bins : int, sequence of D ints, or "risk"
            Number of bins along the sides. "risk" takes the one number for all sides that has the least
            cross-validated risk, among at most 200 numbers up to the D-th root of n: all of the small ones,
            and then some whose ratio is constant. Bins are never more than the points: the risk of ever finer
            bins falls without a limit where points are the same, as rounded ones are.

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
            Where these are no points, too few, or all the same in a coordinate.
        """
        points = as_points(data, "Histogram.fit")
        n, dimensions = points.shape
        if isinstance(bins, str):
            if bins != "risk":
                raise ParameterError(f'bins is a number, one for each coordinate, or "risk"; got {bins!r}.')
            most = max(1, math.floor(n ** (1 / dimensions) + 1e-9))
            tried = torch.logspace(0, math.log10(most), _TRIED, dtype=torch.float64).round().long().unique()
            risks = [cross_validated_risk(points, int(m)) for m in tried]
            bins = int(tried[min(range(len(risks)), key=risks.__getitem__)])
        counts = _counts_of_bins(bins, dimensions)
        low, high = points.amin(0), points.amax(0)
        found = torch.bincount(_cells(points, low, high, counts), minlength=math.prod(counts))
        return cls(low, high, found.reshape(counts))


def cross_validated_risk(data: Tensor, bins: int | Sequence[int]) -> float:
    """Leave-one-out estimate of the integrated squared error of a histogram, up to a constant.

    Rudemo (1982); Wasserman (2004), All of Statistics, eq. 20.14, with the volume v of a bin in place of its
    width: ``J = 2 / ((n - 1) v) - (n + 1) / ((n - 1) v) sum p_j^2``, p_j being the fraction of points in bin
    j. The integral of the squared density is missing, which is the same for all histograms.

    Parameters
    ----------
    data : real tensor, shape (n, D)
    bins : int, or sequence of D ints
        Number of bins along the sides of the least box that holds the data.
    """
    points = as_points(data, "cross_validated_risk")
    n, dimensions = points.shape
    counts = _counts_of_bins(bins, dimensions)
    low, high = points.amin(0), points.amax(0)
    volume = float(((high - low) / torch.tensor(counts)).prod())
    found = torch.bincount(_cells(points, low, high, counts))
    squares = float((found.double() / n).square().sum())
    return (2 - (n + 1) * squares) / ((n - 1) * volume)


def _counts_of_bins(bins: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    each = bins if isinstance(bins, Sequence) else (bins,) * dimensions
    if len(each) != dimensions:
        raise ShapeError(f"Points of {dimensions} coordinates have bins along each; got {tuple(each)}.")
    counts = tuple(as_count(m, "bins, the number along a side,") for m in each)
    if math.prod(counts) > _BINS:
        raise DataError(f"{math.prod(counts)} bins are too many: at most {_BINS}. Give fewer for each side.")
    return counts


def _cells(points: Tensor, low: Tensor, high: Tensor, counts: Sequence[int]) -> Tensor:
    """Index of the bin of each point, or of the nearest one, in the flattened histogram."""
    places = (points - low) / (high - low)
    cells = torch.zeros(points.shape[:-1], dtype=torch.long, device=points.device)
    for axis, size in enumerate(counts):
        index = torch.floor(places[..., axis] * size).long()
        cells = cells * size + index.clamp(0, size - 1)
    return cells
