"""Views that the detector cuts, continued beyond its edges for filtering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from invgen.operators.tomography.geometry import PlanarGeometry

__all__ = ["Continuation"]

_OUTER = 0.5  # of the farthest ray's distance: rays from there on show how the object ends
_EDGE = 0.02  # of the detector, over which the value at its edge is averaged


G = TypeVar("G", bound=PlanarGeometry)


@dataclass(frozen=True, eq=False)
class Continuation(Generic[G]):
    """Each view continued as that of a disc about the rotation axis, after Hsieh et al. (2004).

    The ramp filter needs the whole view. Line integrals of a homogeneous disc of radius R fall with the
    distance d from the axis as ``sqrt(R^2 - d^2)``. R is the one that the square of the mean over all views
    has, fitted linearly in ``d^2``, at the edge that is farther from the axis (or both); each view goes on
    from its own value at the edge. Where that is zero, as of a half-fan that is weighted, nothing is added.
    No object is taken to reach further than views are continued. Hsieh et al. fit a cylinder of water, whose
    attenuation they know, to each view alone.

    Since R follows from the data, this is no linear map of them, but homogeneous: of twice the data it is
    twice as large. It is differentiable, R included, but where R comes to one of its two bounds.

    Attributes
    ----------
    geometry : ParallelBeam or FanGeometry
        That of the detector, `PlanarGeometry.continued`.
    margin : int
        By how many bins it is wider, at either side.
    radius : tensor, shape (batch, 1, ..., 1)
    """

    geometry: G
    margin: int
    radius: torch.Tensor

    @classmethod
    def of(cls, geometry: G, rows: torch.Tensor) -> Continuation[G]:
        """Fit the radius.

        Parameters
        ----------
        geometry : ParallelBeam or FanGeometry
            Of the detector.
        rows : tensor, shape (batch, views, ..., detector)
            All views, weighted.
        """
        wide, d = geometry.continued, geometry.distances(geometry.bins())
        edge = geometry.farthest
        cut = geometry.distances(geometry.ends).abs() > edge - geometry.detector_spacing
        outer = (d.abs() > _OUTER * edge) & torch.where(d < 0, cut[0], cut[1])
        x, squares = d[outer].square().to(rows), rows.mean(1, keepdim=True)[..., outer].square()
        slope = ((x - x.mean()) * squares).sum(-1, keepdim=True) / (x - x.mean()).square().sum()
        falls = slope < 0
        zero = x.mean() - squares.mean(-1, keepdim=True) / torch.where(falls, slope, -1)
        zero = torch.where(falls, zero, math.inf)
        radius = zero.clamp(edge**2, wide.farthest**2).sqrt()
        return cls(wide, (wide.detector_count - geometry.detector_count) // 2, radius)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Views, all or some of them, with `margin` bins more at either side."""
        n, m = rows.shape[-1], self.margin
        d = self.geometry.distances(self.geometry.bins()).to(rows)
        squares = self.radius.square() - d.square()
        within = squares > 0  # of zero the root has no derivative
        chords = torch.where(within, torch.where(within, squares, 1).sqrt(), 0)
        k = max(1, round(_EDGE * n))
        left, right = (
            rows[..., edge].mean(-1, keepdim=True) * beyond / seen.mean(-1, keepdim=True).clamp(min=1e-30)
            for edge, beyond, seen in (
                (slice(0, k), chords[..., :m], chords[..., m : m + k]),
                (slice(n - k, n), chords[..., m + n :], chords[..., m + n - k : m + n]),
            )
        )
        return torch.cat([left, rows, right], dim=-1)
