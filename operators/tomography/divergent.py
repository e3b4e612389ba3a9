"""Fan-beam and cone-beam geometry: a point source on a circle, and a detector opposite to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.tomography.geometry import (
    PlanarGeometry,
    check_angles,
    check_count,
    check_length,
    check_offset,
    check_shape,
    covering,
)

__all__ = ["ConeGeometry", "FanGeometry", "cone_geometry", "fan_geometry"]


@dataclass(frozen=True, eq=False)
class FanGeometry(PlanarGeometry):
    """A fan of rays from a source that turns around the origin.

    At view angle t the detector's axis points along ``e_u = (cos t, sin t)``, the central ray along
    ``e_w = (-sin t, cos t)``, and the source is at ``-source_origin e_w``. The ray of detector position u
    runs along ``u e_u + source_detector e_w``; on a curved detector, which is part of a circle around the
    source, u is the length of arc and the ray's angle ``u / source_detector``.
    """

    source_origin: float
    source_detector: float
    curved: bool

    @property
    def magnification(self) -> float:
        """Size of a shadow on the detector over that of the object at the rotation axis."""
        return self.source_detector / self.source_origin

    def fan_angles(self, positions: torch.Tensor) -> torch.Tensor:
        """Angles between the central ray and those to positions on the detector, in radians."""
        ratio = positions / self.source_detector
        return ratio if self.curved else ratio.atan()

    def distances(self, positions: torch.Tensor) -> torch.Tensor:
        """Signed distances from the rotation axis of the rays to positions on the detector."""
        limit = math.pi / 2  # beyond it the detector is refused
        return self.source_origin * self.fan_angles(positions).clamp(-limit, limit).sin()

    def directions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Directions of the rays along e_u and e_w, float64 (detector,) each, not normalised.

        The point of the detector itself, so that a height on a flat panel is a third component.
        """
        u, d = self.bins(), torch.full((self.detector_count,), self.source_detector, dtype=torch.float64)
        return (d * (u / d).sin(), d * (u / d).cos()) if self.curved else (u, d)

    def edges(self) -> tuple[float, float]:
        """Angles of the rays to the two edges of the detector, in radians."""
        first, last = self.fan_angles(self.ends).tolist()
        return first, last

    @property
    def shadow(self) -> float:
        """Half the width, on the detector, of the shadow of the circle around the image."""
        angle = math.asin(math.hypot(*self.image_shape) * self.pixel_size / 2 / self.source_origin)
        return self.source_detector * (angle if self.curved else math.tan(angle))

    @property
    def sees_whole_image(self) -> bool:
        """Whether all of the image lies between the detector's edges in every view."""
        height, width = self.image_shape
        first, last = self.edges()
        across = torch.tensor([width, -width], dtype=torch.float64)[:, None] * self.pixel_size / 2
        along = torch.tensor([height, -height], dtype=torch.float64) * self.pixel_size / 2
        t = self.angles[:, None, None]
        u = across * t.cos() + along * t.sin()
        w = self.source_origin - across * t.sin() + along * t.cos()
        angles = torch.atan2(u, w)
        return bool(angles.min() >= first - 1e-12) and bool(angles.max() <= last + 1e-12)

    def as_cone(self) -> ConeGeometry:
        """The fan as a cone of one slice, onto one row at the height of the source."""
        return ConeGeometry(self, depth=1, row_count=1, row_spacing=1.0, row_offset=0.0)


@dataclass(frozen=True, eq=False)
class ConeGeometry:
    """A cone of rays from a source that turns around the z axis in the plane z = 0, onto a flat panel.

    Attributes
    ----------
    fan : FanGeometry
        The central plane: slices (H, W), the panel's columns.
    depth : int
        Number of slices, in the order of growing z; the middle of the volume is at z = 0.
    row_count, row_spacing, row_offset
        The panel's rows, in the order of growing z, at ``(r - (n - 1) / 2) spacing + offset``.
    """

    fan: FanGeometry
    depth: int
    row_count: int
    row_spacing: float
    row_offset: float

    @property
    def angles(self) -> torch.Tensor:
        """View angles in radians, float64 (views,)."""
        return self.fan.angles

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Slices, height and width in voxels."""
        return (self.depth, *self.fan.image_shape)

    def rows(self) -> torch.Tensor:
        """Heights of the rows on the panel, float64 (rows,)."""
        place = torch.arange(self.row_count, dtype=torch.float64) - (self.row_count - 1) / 2
        return place * self.row_spacing + self.row_offset

    def slices(self) -> torch.Tensor:
        """Heights z of the slices, float64 (depth,)."""
        place = torch.arange(self.depth, dtype=torch.float64) - (self.depth - 1) / 2
        return place * self.fan.pixel_size


def fan_geometry(
    image_shape: tuple[int, int],
    angles: object,
    source_origin: float,
    source_detector: float,
    detector_count: int | None,
    detector_spacing: float | None,
    detector_offset: float,
    curved: bool,
    pixel_size: float,
    who: str = "FanBeam",
) -> FanGeometry:
    """Check a user's parameters, and fill in the detector that sees the circle around the image."""
    shape = check_shape(image_shape, ("H", "W"), who)
    t = check_angles(angles, 2 * math.pi)
    check_length("pixel_size" if who == "FanBeam" else "voxel_size", pixel_size)
    check_length("source_origin", source_origin)
    check_length("source_detector", source_detector)
    radius = math.hypot(*shape) * pixel_size / 2
    if source_origin <= radius:
        raise ParameterError(
            f"The source would pass through the image: it is {source_origin} from the rotation axis, the "
            f"image's corner {radius:.6g}. Check the unit of source_origin and pixel_size, or make the image "
            "smaller."
        )
    if source_detector < source_origin:
        raise ParameterError(
            "source_detector is the distance from the source to the detector, past the rotation axis: at "
            f"least source_origin={source_origin}; got {source_detector}. Distances from the axis to the "
            "detector need source_origin added."
        )
    if not isinstance(curved, bool | np.bool_):
        raise ParameterError(f"curved is True or False; got {curved!r}.")
    magnification = source_detector / source_origin
    spacing = check_length(
        "detector_spacing", pixel_size * magnification if detector_spacing is None else detector_spacing
    )
    offset = check_offset(detector_offset)
    if detector_count is None:
        angle = math.asin(radius / source_origin)
        half = source_detector * (angle if curved else math.tan(angle)) + abs(offset)
        detector_count = covering(2 * half, spacing)
    geometry = FanGeometry(
        (shape[0], shape[1]),
        t,
        check_count(detector_count, "detector_count" if who == "FanBeam" else "detector_shape"),
        spacing,
        offset,
        float(pixel_size),
        float(source_origin),
        float(source_detector),
        bool(curved),
    )
    geometry._require_axis_on_detector()
    if max(abs(angle) for angle in geometry.edges()) >= math.pi / 2:
        raise ParameterError(
            "The detector's edge is seen at 90 degrees or more from the central ray; a curved detector of "
            f"{geometry.detector_count} bins of {spacing} is too long for source_detector={source_detector}."
        )
    return geometry


def cone_geometry(
    volume_shape: tuple[int, int, int],
    angles: object,
    source_origin: float,
    source_detector: float,
    detector_shape: tuple[int, int] | None,
    detector_spacing: float | tuple[float, float] | None,
    detector_offset: tuple[float, float],
    voxel_size: float,
) -> ConeGeometry:
    """Check a user's parameters, and fill in the panel that sees the cylinder around the volume."""
    shape = check_shape(volume_shape, ("D", "H", "W"), "ConeBeam")
    rows, columns = (None, None) if detector_shape is None else _pair("detector_shape", detector_shape)
    if detector_spacing is None or np.ndim(detector_spacing) == 0:
        detector_spacing = (detector_spacing, detector_spacing)  # type: ignore[assignment]
    row_spacing, column_spacing = _pair("detector_spacing", detector_spacing)
    row_offset, column_offset = _pair("detector_offset", detector_offset)
    fan = fan_geometry(
        (shape[1], shape[2]),
        angles,
        source_origin,
        source_detector,
        columns,
        column_spacing,
        column_offset,
        False,
        voxel_size,
        who="ConeBeam",
    )
    row_spacing = check_length(
        "detector_spacing", voxel_size * fan.magnification if row_spacing is None else row_spacing
    )
    row_offset = check_offset(row_offset)
    if rows is None:
        nearest = source_origin - math.hypot(*fan.image_shape) * voxel_size / 2
        half = shape[0] * voxel_size / 2 * source_detector / nearest + abs(row_offset)
        rows = covering(2 * half, row_spacing)
    geometry = ConeGeometry(fan, shape[0], check_count(rows, "detector_shape"), row_spacing, row_offset)
    steepest = float(geometry.rows().abs().max())
    if steepest > source_detector:
        raise ParameterError(
            f"The panel's edge is {steepest:.6g} above or below the source, at a distance of "
            f"{source_detector}: rays steeper than 45 degrees are not projected well. Give "
            "detector_shape fewer rows, or check the unit of the distances."
        )
    return geometry


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    """Of the panel's rows, and of its columns."""
    if np.ndim(values) != 1 or len(values) != 2:
        raise ShapeError(f"ConeBeam expects {name}=(rows, columns); got {values}.")
    return values[0], values[1]
