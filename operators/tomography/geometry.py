"""Parallel-beam geometry: where pixels and detector bins are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invgen.errors import DataError, DtypeError, ParameterError, ShapeError

__all__ = ["ParallelBeam", "parallel_beam"]


@dataclass(frozen=True, eq=False)
class ParallelBeam:
    """Pixels, views and detector bins of a parallel-beam scan, in one unit of length.

    The ray of view angle t and detector position s is the line ``s = x cos t + y sin t``; x points to the
    right, y up, and the rotation axis is the origin, at the centre of the image.
    """

    image_shape: tuple[int, int]
    angles: torch.Tensor
    detector_count: int
    detector_spacing: float
    detector_offset: float
    pixel_size: float

    @property
    def reach(self) -> float:
        """Distance from the rotation axis to the detector's nearer edge."""
        return self.detector_count * self.detector_spacing / 2 - abs(self.detector_offset)

    @property
    def shadow(self) -> float:
        """Largest distance from the rotation axis to the edge of the image's shadow, over all views."""
        (height, width), t = self.image_shape, self.angles
        return float((width * t.cos().abs() + height * t.sin().abs()).max()) * self.pixel_size / 2

    @property
    def sees_whole_image(self) -> bool:
        """Whether the detector is as wide as the image's shadow in every view."""
        return self.shadow <= self.reach * (1 + 1e-12)

    def pixel_centers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates x, shape (W,), and y, shape (H,), of the pixels' centres."""
        height, width = self.image_shape
        x = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) * self.pixel_size
        y = ((height - 1) / 2 - torch.arange(height, dtype=torch.float64)) * self.pixel_size
        return x, y

    def disc(self) -> torch.Tensor:
        """The pixels that lie wholly within the disc that every view sees, bool (H, W)."""
        x, y = (c.abs() + self.pixel_size / 2 for c in self.pixel_centers())
        return torch.hypot(x[None, :], y[:, None]) <= self.reach * (1 + 1e-12)

    def view_weights(self) -> torch.Tensor:
        """Quadrature weights of the views over half a turn, shape (views,); they sum to at most pi.

        Half the angular distance between each view's two neighbours, angles taken modulo pi (a parallel
        projection repeats after half a turn). A gap of more than five median gaps and ten degrees is a
        missing wedge: nothing was measured there, and its neighbours do not stand for it.
        """
        order = torch.argsort(self.angles % math.pi, stable=True)
        t = (self.angles % math.pi)[order]
        gaps = torch.diff(t, append=t[:1] + math.pi)
        typical = gaps[gaps > 1e-9].median()
        gaps = torch.where((gaps > 5 * typical) & (gaps > math.radians(10)), typical, gaps)
        weights = torch.empty_like(gaps)
        weights[order] = (gaps + gaps.roll(1)) / 2
        return weights


def parallel_beam(
    image_shape: tuple[int, int],
    angles: object,
    detector_count: int | None,
    detector_spacing: float | None,
    detector_offset: float,
    pixel_size: float,
) -> ParallelBeam:
    """Check a user's parameters, and fill in the detector that covers the image's diagonal."""
    if len(image_shape) != 2 or not all(_is_count(n) for n in image_shape):
        raise ShapeError(f"Radon expects image_shape=(H, W); got {tuple(image_shape)}.")
    shape = (int(image_shape[0]), int(image_shape[1]))
    if isinstance(angles, int | float | np.number):
        if not _is_count(angles):
            raise ParameterError(f"A number of angles is at least one, and whole; got angles={angles}.")
        t = torch.arange(int(angles), dtype=torch.float64) * (math.pi / int(angles))
    else:
        # PyTorch would round a list to float32; NumPy keeps its precision
        t = torch.as_tensor(angles if isinstance(angles, torch.Tensor) else np.asarray(angles)).detach().cpu()
        if t.is_complex() or t.dtype == torch.bool:
            raise DtypeError(f"angles are real numbers, in radians; got {t.dtype}.")
        t = t.to(torch.float64, copy=True)  # the array stays the caller's
        if t.ndim != 1 or len(t) == 0:
            raise ShapeError(
                f"angles is a number of views, or a list of radians (views,); got {tuple(t.shape)}."
            )
    if not bool(torch.isfinite(t).all()):
        raise DataError("angles has NaN or infinite entries.")
    spacing = pixel_size if detector_spacing is None else detector_spacing
    for name, value in (("pixel_size", pixel_size), ("detector_spacing", spacing)):
        if not (math.isfinite(value) and value > 0):
            raise ParameterError(f"{name} is a positive length; got {value}.")
    if not math.isfinite(detector_offset):
        raise ParameterError(f"detector_offset is a length; got {detector_offset}.")
    if detector_count is None:
        diagonal = math.hypot(*shape) * pixel_size + 2 * abs(detector_offset)
        detector_count = math.ceil(diagonal / spacing - 1e-9)
    elif not _is_count(detector_count):
        raise ParameterError(f"detector_count is the number of bins; got {detector_count}.")
    geometry = ParallelBeam(
        shape, t, int(detector_count), float(spacing), float(detector_offset), float(pixel_size)
    )
    if geometry.reach <= 0:
        raise ParameterError(
            f"The rotation axis projects outside of the detector: offset {detector_offset}, "
            f"{detector_count} bins of {spacing}. Check the sign and unit of detector_offset."
        )
    return geometry


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)
