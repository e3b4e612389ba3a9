"""What of the object a scan sees, how large its image is, and how far the model of it has to reach."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from invgen.io.ct.geometry import planar_geometry
from invgen.io.ct.projections import Projections
from invgen.io.ct.truncation import Truncation, truncation
from invgen.operators.tomography.geometry import PlanarGeometry, covering
from invgen.operators.tomography.projection import Fov

__all__ = ["Coverage", "coverage", "determined", "shown", "widened", "widest"]

#: What scans are, from the most that is seen to the least.
Kind = Literal["whole", "half-acquisition", "region of interest"]
_NARROW = 4  # columns, in which no object ends
_KINDS: tuple[Kind, ...] = ("whole", "half-acquisition", "region of interest")


@dataclass(frozen=True)
class Coverage:
    """What the views of a scan see of the object.

    Attributes
    ----------
    kind : {"whole", "half-acquisition", "region of interest"}
        Every view sees the whole object; or it passes the detector's edge next to the rotation axis, and the
        views of a full turn see it from one side or the other; or parts of it are seen by some views only.
    radius : float
        Of the disc about the axis that is reconstructed, in the scan's unit of length.
    support : "disc" or float
        Where the object is taken to be: in the disc that every view sees, or in the disc of a radius.
    cut : Truncation
        Views that the detector cuts.
    """

    kind: Kind
    radius: float
    support: Literal["disc"] | float
    cut: Truncation

    def __str__(self) -> str:
        """What the data show; empty where every view sees the object."""
        if self.kind == "half-acquisition":
            left, right = f"{self.cut.left:.0%}", f"{self.cut.right:.0%}"
            return (
                "half-acquisition: the object passes the detector's edge next to the rotation axis (the left "
                f"one in {left}, the right one in {right} of the views), and the views go all around. Rays "
                "that are measured twice share their weight; the image reaches as far as the other edge"
            )
        return str(self.cut) if self.kind == "region of interest" else ""

    def image_shape(self, projections: Projections) -> tuple[int, int]:
        """Shape of the image, where none is asked for: that of the file, else a square of the field of view.

        At least a pixel for each column.
        """
        if projections.image_shape is not None:
            return projections.image_shape
        side = max(projections.columns, covering(2 * self.radius, projections.spacing))
        return side, side

    def fov(self, projections: Projections, image_shape: tuple[int, int]) -> Fov:
        """Where the operator of an image takes the object to be: see `invgen.operators.Radon`."""
        if self.support != "disc":
            return self.support
        geometry = replace(planar_geometry(projections), image_shape=image_shape)
        inscribed = min(image_shape) / 2 * projections.spacing
        if inscribed < geometry.reach and _within(projections, geometry, inscribed):
            return geometry.reach
        return geometry.default_fov


def coverage(projections: Projections) -> Coverage:
    """Find what the views see, from the object's outline in the data, the geometry and the angles.

    The object lies in the disc that every view sees where no view finds it farther from the axis, unless the
    file states a half-acquisition. Else it lies in the disc out to the detector's farther edge, if it does
    not pass that on a full turn, or neither edge on less. Where it does, it reaches farther than is measured:
    its model then goes as far as views are continued for filtering, see `PlanarGeometry.continued`.

    Parameters
    ----------
    projections : Projections
        Line integrals whose center of rotation is known.
    """
    geometry = planar_geometry(projections)
    cut = truncation(projections)
    near, far = geometry.reach, geometry.farthest
    if not projections.half and not _within(projections, geometry, near):
        return Coverage("whole", near, "disc", cut)
    first, last = geometry.distances(geometry.ends).tolist()
    passes_far = Truncation(cut.right if -first < last else cut.left, 0.0)
    if not passes_far and (geometry.turns_fully or not cut):
        half = geometry.turns_fully and (cut or projections.half)
        return Coverage("half-acquisition" if half else "whole", far, far, cut)
    return Coverage(
        "region of interest", far if geometry.turns_fully else near, geometry.continued.farthest, cut
    )


def widest(found: Iterable[Coverage]) -> Coverage:
    """Of several slices, the one that sees the least of its object, or whose image is the largest."""
    return max(found, key=lambda each: (_KINDS.index(each.kind), each.radius))


def widened(image_shape: tuple[int, int], radius: float, pixel_size: float) -> tuple[int, int]:
    """Shape of the smallest image about the same middle that contains an image and a disc about the axis."""
    needed = covering(2 * radius, pixel_size)
    height, width = (n + 2 * math.ceil(max(needed - n, 0) / 2) for n in image_shape)
    return height, width


def determined(geometry: PlanarGeometry, fov: Fov) -> float:
    """Radius of the disc about the axis in which views determine the object that lies in `fov`.

    Infinite where that is a word: the operator has its own mask then.
    """
    if isinstance(fov, str):
        return math.inf
    seen = geometry.farthest if geometry.turns_fully else geometry.reach
    return fov if fov <= geometry.farthest * (1 + 1e-9) else seen


def shown(x: torch.Tensor, geometry: PlanarGeometry, image_shape: tuple[int, int], fov: Fov) -> torch.Tensor:
    """The image that is asked for, out of one that is `widened`: zero where views do not determine it.

    Parameters
    ----------
    x : tensor, shape (..., H, W)
    geometry : ParallelBeam or FanGeometry
        With the shape of the widened image.
    image_shape : (int, int)
        Smaller by even numbers, or the same.
    fov
        As of the operator.
    """
    x = x * geometry.disc(determined(geometry, fov)).to(x)
    top, left = ((n - m) // 2 for n, m in zip(geometry.image_shape, image_shape, strict=True))
    return x[..., top : top + image_shape[0], left : left + image_shape[1]]


def _within(projections: Projections, geometry: PlanarGeometry, radius: float) -> Truncation:
    """Views in which the object passes a distance from the axis, as if the detector ended there."""
    inside = (geometry.distances(geometry.bins()).abs() <= radius).nonzero().flatten()
    if len(inside) < _NARROW:
        return Truncation(1.0, 1.0)
    return truncation(projections, slice(int(inside[0]), int(inside[-1]) + 1))
