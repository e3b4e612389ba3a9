"""Where pixels, views and detector bins are: what all beams share, and parallel beams."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch

from invgen.core.checks import as_count, is_count
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError

__all__ = ["ParallelBeam", "PlanarGeometry", "angular_weights", "missing_wedges", "parallel_beam"]

#: More bins than any detector has: so large a number comes from lengths in different units.
_MOST_BINS = 1 << 24

_STEEPEST = math.radians(70)  # fan angle


@dataclass(frozen=True, eq=False)
class PlanarGeometry:
    """Pixels, views and detector bins of a scan in a plane, in one unit of length.

    x points to the right, y up, and the rotation axis is the origin, at the centre of the image.
    """

    image_shape: tuple[int, int]
    angles: torch.Tensor
    detector_count: int
    detector_spacing: float
    detector_offset: float
    pixel_size: float

    def fan_angles(self, positions: torch.Tensor) -> torch.Tensor:
        """Angles between the central ray and those to positions on the detector, in radians."""
        raise NotImplementedError

    def distances(self, positions: torch.Tensor) -> torch.Tensor:
        """Signed distances from the rotation axis of the rays to positions on the detector."""
        raise NotImplementedError

    @property
    def ends(self) -> torch.Tensor:
        """Positions of the detector's two edges along it, float64 (2,)."""
        half = self.detector_count * self.detector_spacing / 2
        return torch.tensor([-half, half], dtype=torch.float64) + self.detector_offset

    @property
    def reach(self) -> float:
        """Radius of the disc around the axis that every view sees; negative where there is none."""
        first, last = self.distances(self.ends).tolist()
        return min(-first, last)

    @property
    def farthest(self) -> float:
        """Distance from the axis of the farthest ray: radius of the disc that a full turn sees."""
        return float(self.distances(self.ends).abs().max())

    @property
    def shadow(self) -> float:
        """Half the width, on the detector, of the shadow of the image or of the circle around it."""
        raise NotImplementedError

    @property
    def sees_whole_image(self) -> bool:
        """Whether all of the image lies between the detector's edges in every view."""
        raise NotImplementedError

    @property
    def default_fov(self) -> Literal["image", "disc"]:
        """Where objects are that every view sees whole: anywhere in the image, or in the disc of `reach`."""
        return "image" if self.sees_whole_image else "disc"

    @property
    def turns_fully(self) -> bool:
        """Whether the views go all around."""
        return not bool(missing_wedges(self.angles, 2 * math.pi)[2].any())

    @property
    def continued(self) -> Self:
        """That of views which are continued beyond the detector, to be filtered.

        Half a detector further at either side, short of grazing rays, and at least as far as the image's
        shadow: pixels that are projected next to the detector need what filtering leaves there.
        """
        ends, spacing, n = self.ends.abs(), self.detector_spacing, self.detector_count
        beyond = ends.max() + torch.arange(1, n // 2 + 1) * spacing
        half = int((self.fan_angles(beyond) < _STEEPEST).sum())
        shadow = math.ceil((self.shadow - float(ends.min())) / spacing)
        return replace(self, detector_count=n + 2 * max(half, shadow))

    def bins(self) -> torch.Tensor:
        """Positions of the bins' centres along the detector, float64 (detector,)."""
        place = torch.arange(self.detector_count, dtype=torch.float64) - (self.detector_count - 1) / 2
        return place * self.detector_spacing + self.detector_offset

    def pixel_centers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates x, shape (W,), and y, shape (H,), of the pixels' centres."""
        height, width = self.image_shape
        x = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) * self.pixel_size
        y = ((height - 1) / 2 - torch.arange(height, dtype=torch.float64)) * self.pixel_size
        return x, y

    def disc(self, radius: float) -> torch.Tensor:
        """The pixels that lie wholly within a disc around the rotation axis, bool (H, W)."""
        x, y = (c.abs() + self.pixel_size / 2 for c in self.pixel_centers())
        return torch.hypot(x[None, :], y[:, None]) <= radius * (1 + 1e-12)

    def _require_axis_on_detector(self) -> None:
        if self.reach <= 0:
            raise ParameterError(
                f"The rotation axis projects outside of the detector: offset {self.detector_offset}, "
                f"{self.detector_count} bins of {self.detector_spacing}. Check the sign and unit of "
                "detector_offset."
            )


@dataclass(frozen=True, eq=False)
class ParallelBeam(PlanarGeometry):
    """Parallel rays: of view angle t and detector position s the line ``s = x cos t + y sin t``."""

    def fan_angles(self, positions: torch.Tensor) -> torch.Tensor:
        """Zeros: the rays are parallel."""
        return torch.zeros_like(positions)

    def distances(self, positions: torch.Tensor) -> torch.Tensor:
        """The positions themselves."""
        return positions

    @property
    def shadow(self) -> float:
        """Largest distance from the rotation axis to the edge of the image's shadow, over all views."""
        (height, width), t = self.image_shape, self.angles
        return float((width * t.cos().abs() + height * t.sin().abs()).max()) * self.pixel_size / 2

    @property
    def sees_whole_image(self) -> bool:
        """Whether the detector is as wide as the image's shadow in every view."""
        return self.shadow <= self.reach * (1 + 1e-12)

    def view_weights(self) -> torch.Tensor:
        """Quadrature weights of the views over half a turn, shape (views,); they sum to at most pi."""
        return angular_weights(self.angles, math.pi)


def angular_weights(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Quadrature weights of views whose projections repeat after `period`; they sum to at most that.

    Half the angular distance between each view's two neighbors; next to a missing wedge, where nothing was
    measured, the usual distance takes the place of the wedge: see `missing_wedges`.
    """
    order = torch.argsort(angles % period, stable=True)
    gaps, usual, missing = missing_wedges(angles, period)
    gaps = torch.where(missing, usual, gaps)
    weights = torch.empty_like(gaps)
    weights[order] = (gaps + gaps.roll(1)) / 2
    return weights


def missing_wedges(angles: torch.Tensor, period: float) -> tuple[torch.Tensor, float, torch.Tensor]:
    """Distances between views, the usual one, and which of them are missing wedges.

    A gap of more than five usual gaps and more than ten degrees is a missing wedge; the usual gap is the
    upper quartile, so that views may come in pairs.

    Returns
    -------
    gaps : float64 tensor (views,)
        From each view, by increasing angle modulo `period`, to the next.
    usual : float
    missing : bool tensor (views,)
    """
    t = (angles % period).sort().values
    gaps = torch.diff(t, append=t[:1] + period)
    usual = float(gaps[gaps > 1e-9].quantile(0.75, interpolation="lower"))
    return gaps, usual, gaps > max(5 * usual, math.radians(10))


def parallel_beam(
    image_shape: tuple[int, int],
    angles: object,
    detector_count: int | None,
    detector_spacing: float | None,
    detector_offset: float,
    pixel_size: float,
) -> ParallelBeam:
    """Check a user's parameters, and fill in the detector that covers the image's diagonal."""
    shape = check_shape(image_shape, ("H", "W"), "Radon")
    t = check_angles(angles, math.pi)
    check_length("pixel_size", pixel_size)
    spacing = check_length("detector_spacing", pixel_size if detector_spacing is None else detector_spacing)
    offset = check_offset(detector_offset)
    if detector_count is None:
        detector_count = covering(math.hypot(*shape) * pixel_size + 2 * abs(offset), spacing)
    count = check_count(detector_count, "detector_count")
    geometry = ParallelBeam((shape[0], shape[1]), t, count, spacing, offset, float(pixel_size))
    geometry._require_axis_on_detector()
    return geometry


def check_shape(shape: tuple[int, ...], axes: tuple[str, ...], who: str) -> tuple[int, ...]:
    """The shape of an image or a volume, as plain integers."""
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if len(sizes) != len(axes) or not all(is_count(n) for n in sizes):
        name = "image_shape" if len(axes) == 2 else "volume_shape"
        raise ShapeError(f"{who} expects {name}=({', '.join(axes)}); got {shape}.")
    return tuple(int(n) for n in sizes)


def check_angles(angles: object, turn: float) -> torch.Tensor:
    """View angles in radians, float64 (views,); a number n means n equispaced views over `turn`."""
    if isinstance(angles, int | float | np.number):
        views = as_count(angles, "A number of angles")
        return torch.arange(views, dtype=torch.float64) * (turn / views)
    # PyTorch would round a list to float32; NumPy keeps its precision
    try:
        t = angles.detach().cpu() if isinstance(angles, torch.Tensor) else np.asarray(angles)
    except ValueError:
        raise ShapeError("angles is a number of views, or a list of radians; got lists in it.") from None
    if isinstance(t, np.ndarray):
        if t.dtype.kind not in "uif":
            raise DtypeError(f"angles are real numbers, in radians; got {t.dtype}.")
        t = torch.from_numpy(t.astype(np.float64, order="C"))
    if t.is_complex() or t.dtype == torch.bool:
        raise DtypeError(f"angles are real numbers, in radians; got {t.dtype}.")
    t = t.to(torch.float64, copy=True)  # the array stays the caller's
    if t.ndim != 1 or len(t) == 0:
        raise ShapeError(f"angles is a number of views, or a list of radians (views,); got {tuple(t.shape)}.")
    if not bool(torch.isfinite(t).all()):
        raise DataError("angles has NaN or infinite entries.")
    return t


def check_length(name: str, value: float) -> float:
    """A positive length."""
    if not (_is_finite(value) and value > 0):
        raise ParameterError(f"{name} is a positive length; got {value!r}.")
    return float(value)


def check_offset(value: float) -> float:
    """A finite length of either sign."""
    if not _is_finite(value):
        raise ParameterError(f"detector_offset is a length; got {value!r}.")
    return float(value)


def check_count(value: Any, name: str) -> int:
    """The number of a detector's bins, or of its rows."""
    count = as_count(value, name)
    if count > _MOST_BINS:
        raise ParameterError(
            f"The detector would have {float(min(count, 10**300)):.3g} bins. Check the unit of "
            f"detector_spacing and detector_offset, or give {name}."
        )
    return count


def covering(width: float, spacing: float) -> int:
    """The smallest number of bins that are at least so wide together."""
    count = width / spacing
    return max(1, math.ceil(count - 1e-9)) if math.isfinite(count) else _MOST_BINS + 1


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # texts, None, arrays, huge integers
        return False
