"""Whether the detector saw the whole object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from invgen.io.ct.projections import Projections, require

__all__ = ["Truncation", "truncation"]

_LEVEL = 0.05  # of the largest line integrals: more than this at an edge is object, not background
_SIGMAS = 5.0
_NORMAL = 1.4826 / math.sqrt(6)  # median of the absolute second differences of Gaussian noise, to its std


@dataclass(frozen=True)
class Truncation:
    """Fraction of the views whose line integrals do not fall to the background at the detector's edges."""

    left: float
    right: float

    def __bool__(self) -> bool:
        return max(self.left, self.right) > 0.01

    def __str__(self) -> str:
        return (
            "the object is wider than the detector: line integrals do not fall to zero at the left edge in "
            f"{self.left:.0%} and at the right edge in {self.right:.0%} of the views. "
            "Values of the image are off by a slow variation, most near the edge of the field of view"
        )


def truncation(projections: Projections, columns: slice = slice(None)) -> Truncation:
    """Detect truncated views: those whose line integrals do not fall to zero at the detector's edge.

    Near the outline of an object of any smooth shape its thickness grows as the square root of the depth. The
    squares of the outermost two bins (each of 1 % of the columns, at least one) are therefore extrapolated
    linearly to the edge: an object that ends within the last column is not cut. A value counts where it is
    above both 5 % of the largest line integrals and five standard deviations of its noise.

    Parameters
    ----------
    projections : Projections
        Line integrals.
    columns : slice
        Of a part of the detector, as if it ended there.

    Returns
    -------
    Truncation
        True where more than 1 % of the views are truncated; as text it says so.
    """
    require(projections, "truncation", "absorption")
    data, std = projections.data, projections.std
    limit = _LEVEL * float(data.amax(1).double().quantile(0.5))
    data = data[:, columns]
    width = max(1, data.shape[1] // 100)
    if limit <= 0 or data.shape[1] < 2 * width:
        return Truncation(0.0, 0.0)
    left, right = data[:, : 2 * width].double(), data[:, -2 * width :].flip(1).double()
    if std is None:
        return Truncation(_cut(left, None, width, limit), _cut(right, None, width, limit))
    sides = [std[:, columns][:, :width], std[:, columns][:, -width:].flip(1)]
    if not all(bool(side.isfinite().all()) for side in sides):
        # a dead ray is filled from its neighbors, and has their noise
        usual = std.median()
        sides = [torch.where(side.isfinite(), side, usual) for side in sides]
    return Truncation(*(_cut(*each, width, limit) for each in zip((left, right), sides, strict=True)))


def _cut(data: torch.Tensor, std: torch.Tensor | None, width: int, limit: float) -> float:
    """Fraction of the views that are cut at an edge, from the outermost column, bins of `width` columns."""
    outer, inner = data[:, :width].mean(1), data[:, width:].mean(1)
    if std is None:  # from view to view the object changes smoothly and the noise does not
        noise = _NORMAL * outer.diff(n=2).abs().median() if len(outer) > 2 else outer.new_zeros(())
    else:
        noise = std.double().square().mean(1).sqrt() / math.sqrt(width)
    at_edge = (1.5 * outer.square() - 0.5 * inner.square()).clamp(min=0).sqrt()
    clear = torch.clamp(_SIGMAS * noise, min=limit)
    return float(((outer > clear) & (at_edge > clear)).double().mean())
