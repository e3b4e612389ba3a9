"""Positions of source, object and detector of a simulated CT scan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

__all__ = ["Geometry", "Setup", "arrange", "check_positive"]

Geometry = Literal["parallel", "fan", "cone"]

_RADIUS = 0.47  # of the disc that the detector shows by default, in image widths; named phantoms have 0.46


@dataclass(frozen=True, eq=False)
class Setup:
    """The geometry of a scan. Lengths are in the unit of `pixel_size`, the side of a pixel of the image."""

    geometry: Geometry
    angles: Tensor
    size: int
    slices: int
    pixel_size: float
    rows: int
    columns: int
    center_offset: float
    source_origin: float
    source_detector: float
    curved: bool

    @property
    def detector_spacing(self) -> float:
        """Width of a column, on the detector itself: at the rotation axis it is the image's pixel."""
        return self.pixel_size * (
            1 if self.geometry == "parallel" else self.source_detector / self.source_origin
        )

    @property
    def detector_offset(self) -> float:
        """Displacement of the detector, on the detector itself."""
        return -self.center_offset * self.detector_spacing

    def columns_across(self, radius: float) -> float:
        """Columns from the axis to the edge of the shadow of a disc around it, of a radius in pixels."""
        if self.geometry == "parallel":
            return radius
        distance = self.source_origin / self.pixel_size
        fan = math.asin(radius / distance)
        return distance * (fan if self.curved else math.tan(fan))

    def radius_within(self, columns: float) -> float:
        """Radius, in pixels, of the disc around the axis whose shadow reaches a number of columns."""
        if self.geometry == "parallel":
            return columns
        distance = self.source_origin / self.pixel_size
        return distance * math.sin(columns / distance if self.curved else math.atan(columns / distance))


def arrange(
    geometry: Geometry,
    *,
    size: int,
    views: int,
    slices: int | None,
    angular_range: float | None,
    detector_count: int | None,
    pixel_size: float,
    center_offset: float | None,
    source_origin: float | None,
    source_detector: float | None,
    curved: bool,
) -> Setup:
    """Complete the geometry of a scan.

    Raises
    ------
    ParameterError
        When a number makes no sense, or does not fit the others.
    """
    if geometry not in get_args(Geometry):
        raise ParameterError(f"The geometry is one of {', '.join(get_args(Geometry))}; got {geometry!r}.")
    size, views = as_count(size, "size"), as_count(views, "views")
    if slices is None:
        slices = max(1, size // 4) if geometry == "cone" else 1
    slices = as_count(slices, "slices")
    angular_range = math.pi * (1 if geometry == "parallel" else 2) if angular_range is None else angular_range
    center_offset = size / 80 if center_offset is None else center_offset
    check_positive(angular_range=angular_range, pixel_size=pixel_size)
    if not math.isfinite(center_offset):
        raise ParameterError(f"center_offset is a finite number of columns; got {center_offset}.")
    if curved and geometry != "fan":
        raise ParameterError(f"A curved detector is one of a fan beam; the geometry is {geometry}.")
    if geometry == "parallel":
        if source_origin is not None or source_detector is not None:
            raise ParameterError(
                "A parallel beam has no source: source_origin and source_detector are for the geometries "
                "fan and cone."
            )
        source_origin = source_detector = math.inf
    else:
        source_origin, source_detector = _source(size * pixel_size, source_origin, source_detector)

    setup = Setup(
        geometry=geometry,
        angles=torch.arange(views, dtype=torch.float64) * (angular_range / views),
        size=size,
        slices=slices,
        pixel_size=pixel_size,
        rows=slices,
        columns=size,
        center_offset=center_offset,
        source_origin=source_origin,
        source_detector=source_detector,
        curved=curved,
    )
    if detector_count is None:
        across = setup.columns_across(_RADIUS * size)
        detector_count = max(size, 2 * math.ceil(across + abs(center_offset)))
    detector_count = as_count(detector_count, "detector_count")
    if not abs(center_offset) < detector_count / 2:
        raise ParameterError(
            f"The rotation axis must fall on the detector: |center_offset| < {detector_count / 2}; "
            f"got {center_offset}."
        )
    rows = slices
    if geometry == "cone":
        # The edge of a slice that is nearest to the source is projected farthest from the detector's middle.
        nearest = 1 - _RADIUS * size * pixel_size / source_origin
        rows += 2 * math.ceil(slices / 2 * (1 / nearest - 1))
    return replace(setup, rows=rows, columns=detector_count)


def _source(width: float, source_origin: float | None, source_detector: float | None) -> tuple[float, float]:
    """Distances from the source to the rotation axis and to the detector, for an image of a given width."""
    if source_origin is None:
        source_origin = 4 * width if source_detector is None else source_detector / 1.5
    if source_detector is None:
        source_detector = 1.5 * source_origin
    check_positive(source_origin=source_origin, source_detector=source_detector)
    if source_origin <= width / math.sqrt(2):
        raise ParameterError(
            f"The source must stay outside of the image, whose corners are {width / math.sqrt(2):g} from the "
            f"rotation axis; got source_origin={source_origin:g}."
        )
    if source_detector <= source_origin:
        raise ParameterError(
            "The detector is behind the object: source_detector is larger than source_origin; "
            f"got {source_detector:g} and {source_origin:g}."
        )
    return source_origin, source_detector


def check_positive(**numbers: float) -> None:
    """Refuse what is not a positive number.

    Raises
    ------
    ParameterError
    """
    for name, number in numbers.items():
        if not (number > 0 and math.isfinite(number)):
            raise ParameterError(f"{name} is a positive number; got {number}.")
