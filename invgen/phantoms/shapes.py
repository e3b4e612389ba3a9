"""What phantoms in the plane and in space share: their numbers, the raster, and rays that meet a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError

__all__ = [
    "BLOCK",
    "Shapes",
    "add_steps",
    "bin_places",
    "check_raster",
    "check_source",
    "draw",
    "view_angles",
    "window",
]

BLOCK = 1 << 21  # numbers held at once while drawing and projecting: 16 MiB


@dataclass(frozen=True, eq=False)
class Shapes:
    """Vectors of one length, one for each field: `value`, semi-axes named a, b (and c), and others."""

    def __post_init__(self) -> None:
        kind, columns = type(self).__name__, {field.name: self._vector(field.name) for field in fields(self)}
        for name, column in columns.items():
            if column.ndim != 1 or column.shape != columns["value"].shape:
                raise ShapeError(
                    f"{kind} expects {len(columns)} vectors of one length; got {name} of shape "
                    f"{tuple(column.shape)} beside value of shape {tuple(columns['value'].shape)}."
                )
            if not bool(torch.isfinite(column).all()):
                raise ParameterError(f"{kind} expects finite numbers; {name} has NaN or Inf.")
            if name in ("a", "b", "c") and bool((column <= 0).any()):
                raise ParameterError(f"{kind} expects positive semi-axes; remove those that are empty.")
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self._vector("value"))

    def _vector(self, name: str) -> Tensor:
        return torch.as_tensor(getattr(self, name), dtype=torch.float64).clone()

    def _rows(self) -> list[list[float]]:
        return torch.stack([getattr(self, field.name) for field in fields(self)], dim=1).tolist()


def view_angles(angles: Tensor | Sequence[float]) -> Tensor:
    """Angles as a float64 vector.

    Raises
    ------
    ShapeError
        When they are no vector, or there are none.
    """
    t = torch.as_tensor(angles, dtype=torch.float64)
    if t.ndim != 1 or len(t) == 0:
        raise ShapeError(f"Angles are a vector, one per view; got shape {tuple(t.shape)}.")
    return t


def bin_places(count: int, spacing: float, offset: float, subrays: int = 1) -> Tensor:
    """Places of `subrays` rays at equal distances in each of `count` bins, shape (count * subrays,).

    Raises
    ------
    ParameterError
        When there are no such bins.
    """
    count, subrays = as_count(count, "the number of detector bins"), as_count(subrays, "subrays")
    if not (spacing > 0 and math.isfinite(spacing) and math.isfinite(offset)):
        raise ParameterError(
            f"A detector needs bins of positive width at a finite offset; got {spacing} and {offset}."
        )
    return (
        (torch.arange(count * subrays, dtype=torch.float64) + 0.5) / subrays - count / 2
    ) * spacing + offset


def check_source(source_origin: float, source_detector: float, radius: float) -> None:
    """Refuse a source within reach of the phantom as it turns, since rays begin at the source.

    Raises
    ------
    ParameterError
    """
    if not (math.isfinite(source_origin) and source_origin > radius):
        raise ParameterError(
            f"The source must stay outside of the phantom, of radius {radius:g} around the rotation axis; "
            f"got source_origin={source_origin}."
        )
    if not (math.isfinite(source_detector) and source_detector > 0):
        raise ParameterError(f"source_detector is a positive length; got {source_detector}.")


def window(places: Tensor, low: Tensor, high: Tensor, subrays: int) -> tuple[Tensor, Tensor]:
    """Bins whose rays lie between `low` and `high`, and those rays: (views, bins), (views, bins * subrays).

    All views have the same number of bins, the largest that one of them needs, so that they are one array.
    """
    first = torch.searchsorted(places, low) // subrays
    stop = -(-torch.searchsorted(places, high) // subrays)
    width = int((stop - first).max())
    first = first.clamp(max=len(places) // subrays - width)[:, None]
    return first + torch.arange(width), first * subrays + torch.arange(width * subrays)


def draw(
    solids: Sequence[Sequence[float]], shape: tuple[int, int, int], voxel_size: float, lines: tuple[int, int]
) -> Tensor:
    """Mean over each voxel of ellipsoids (value, x, y, z, a, b, c, rotation about z), shape (D, H, W).

    A voxel is crossed by ``lines[0] * lines[1]`` lines along x, at equal distances in z and y. The chord that
    an ellipsoid cuts from a line, and its length in each voxel, are exact. A chord is stored as the steps up
    and down at its ends; their cumulative sum along x, taken once, is the image.
    """
    depth, height, width = shape
    check_raster(shape, voxel_size, *lines)
    steps = torch.zeros(depth * height, width + 1, dtype=torch.float64)
    for value, x, y, z, a, b, c, rotation in solids:
        cos, sin = math.cos(rotation), math.sin(rotation)
        half_y = math.hypot(a * sin, b * cos)
        # On the line (y, z): |x - shear * y| <= slope * sqrt(half_y^2 (1 - z^2 / c^2) - y^2).
        shear, slope = (a * a - b * b) * sin * cos / half_y**2, a * b / half_y**2
        low, high = _touched(z - c, z + c, depth, voxel_size)
        top, bottom = _touched(-y - half_y, -y + half_y, height, voxel_size)
        v = (height / 2 - _fine(top, bottom, lines[1])) * voxel_size - y
        row = torch.arange(top, bottom).repeat_interleave(lines[1])
        block = max(1, BLOCK // (lines[0] * max(1, len(v))))
        for start in range(low, high, block):
            stop = min(start + block, high)
            w = (_fine(start, stop, lines[0]) - depth / 2) * voxel_size - z
            half = slope * (half_y**2 * (1 - (w[:, None] / c) ** 2) - v**2).clamp_min_(0).sqrt_()
            line = torch.arange(start, stop).repeat_interleave(lines[0])[:, None] * height + row
            middle = x + shear * v
            ends = [((middle + e) / voxel_size + width / 2).clamp(0, width) for e in (-half, half)]
            crossed = ends[1] > ends[0]
            for end, sign in zip(ends, (1, -1), strict=True):
                add_steps(steps, line[crossed], end[crossed], sign * value / math.prod(lines))
    return steps.reshape(depth, height, width + 1)[..., :-1].cumsum(-1)


def add_steps(steps: Tensor, line: Tensor, place: Tensor, rise: Tensor | float) -> None:
    """Add steps of lines at places, in pixels from the left edge, to the differences `steps` along them.

    The pixel that holds a place gets the part of the rise that lies beyond the place, the next one the rest.
    """
    width = steps.shape[1] - 1
    place = place.clamp(0, width)
    pixel = place.floor().clamp(max=width - 1)
    fraction = (place - pixel) * rise
    at, flat = line * (width + 1) + pixel.long(), steps.view(-1)
    flat.index_add_(0, at, rise - fraction)
    flat.index_add_(0, at + 1, fraction)


def check_raster(shape: Sequence[int], pixel_size: float, *lines: int) -> None:
    """Refuse images without pixels, and pixels without size or lines.

    Raises
    ------
    ParameterError
    """
    for number in shape:
        as_count(number, "the number of pixels along an axis")
    for number in lines:
        as_count(number, "supersample")
    if not (pixel_size > 0 and math.isfinite(pixel_size)):
        raise ParameterError(f"A raster needs pixels of positive size; got {pixel_size}.")


def _fine(start: int, stop: int, lines: int) -> Tensor:
    """Places of `lines` lines in each of the voxels from `start` to `stop`, in voxels."""
    return (torch.arange(start * lines, stop * lines, dtype=torch.float64) + 0.5) / lines


def _touched(low: float, high: float, count: int, voxel_size: float) -> tuple[int, int]:
    """Range of the `count` centered voxels that the interval [low, high] touches."""
    start, stop = (min(max(end / voxel_size + count / 2, 0), count) for end in (low, high))
    return math.floor(start), math.ceil(stop)
