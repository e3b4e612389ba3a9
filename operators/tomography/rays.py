"""Rays and pixels as the kernels take them, in pixels: what is prepared once for each operator."""

from __future__ import annotations

import math
from functools import cached_property

import torch

from invgen.core.frozen import Constant, Frozen
from invgen.operators.tomography.divergent import ConeGeometry
from invgen.operators.tomography.geometry import ParallelBeam

__all__ = ["FINE", "DivergentRays", "ParallelRays", "PixelShadows", "Tracks"]

#: Samples for each bin, between which pixel-driven backprojection interpolates linearly.
FINE = 4

#: Relative error of places on the detector that are computed in single precision: 32 roundings.
_SINGLE = 2.0**-19


class Tracks(Frozen):
    """Where rays cross the lines of an image, in whole numbers: the same bits whoever computes with them.

    A ray that runs more along y crosses row i at the column ``(start + slope i) / 2^bits``, another one
    column i at the row of that number. The last bit of the slope says which: one for rays along y. Places
    are rounded to ``2^-bits`` a line, of images of a thousand lines to 1e-11 of a pixel in all.

    Attributes
    ----------
    bits : int
        Fractional bits of all tables of whole numbers: what 64 bits leave beside the largest place.
    start, slope : Constant, int64 (views, bins)
    length : Constant, float64 (views, bins)
        Of a ray between two lines, within the plane, in the unit of `pixel_size`.
    views : Constant, float64 (views, 2)
        Cosine and sine of each view angle.
    detector : Constant, float64 (4,)
        Where pixels are projected to. Of one that is u along the detector and ``w / c`` along the central ray
        from the source, w being one at the axis, the bin ``a + b u / w``, on a curved detector
        ``a + (b / c) atan(c u / w)``: c, b, a, and the error of that in single precision where w is one.
    curved : bool
    """

    def __init__(
        self,
        image_shape: tuple[int, int],
        views: torch.Tensor,
        right: torch.Tensor,
        down: torch.Tensor,
        dx: torch.Tensor,
        dy: torch.Tensor,
        detector: tuple[float, float, float],
        curved: bool,
        pixel_size: float,
    ) -> None:
        """Take rays in pixels, (views, bins): columns and rows from the first pixel, and directions."""
        size = sum(image_shape)
        steep = dy.abs() >= dx.abs()
        q = torch.where(steep, dx, dy) / torch.where(steep, dy, dx)
        start = torch.where(steep, right + down * q, down + right * q)
        # of a ray that is farther than four images from the first line, no place is within the image
        self.bits = min(52, 62 - (8 * size).bit_length())
        self.start = Constant(_whole(start.clamp(-4 * size, 4 * size), self.bits))
        self.slope = Constant(_whole(-q, self.bits - 1) * 2 + steep)
        self.length = Constant((1 + q * q).sqrt() * pixel_size)
        self.views = Constant(views)
        inverse, scale, axis = detector
        error = _SINGLE * (scale * size + abs(axis) + start.shape[1])
        if inverse > 0:  # places of rays are rounded relative to the distance of the source
            error += 2.0**-50 * scale / inverse
        self.detector = Constant(torch.tensor([inverse, scale, axis, error], dtype=torch.float64))
        self.curved = curved


class Climbs(Frozen):
    """Between which slices rays are where they cross line i of a slice, see `Tracks`, in whole numbers.

    The ray of row r of the panel is at the slice ``(a + b i + (c + d i) r) / 2^bits``.

    Attributes
    ----------
    bits : int
    table : Constant, int64 (4, views, columns)
        a, b, c and d.
    pace : Constant, float64 (views, columns)
    up : Constant, float64 (rows,)
        Their product is how far a ray climbs between two lines, in the unit of `pixel_size`.
    apart : Constant, float64 (1,)
        Distance at the axis of the rays of neighboring rows, in slices.
    """

    def __init__(
        self,
        volume_shape: tuple[int, int, int],
        begin: torch.Tensor,
        pace: torch.Tensor,
        up: torch.Tensor,
        apart: float,
        pixel_size: float,
    ) -> None:
        """Take the times (views, columns) of line zero and from line to line, and directions (rows,)."""
        depth, *lines = volume_shape
        step = (up[-1] - up[0]) / max(1, len(up) - 1)
        a, b, c, d = begin * up[0] + (depth - 1) / 2, pace * up[0], begin * step, pace * step
        largest = a.abs() + b.abs() * max(lines) + (c.abs() + d.abs() * max(lines)) * len(up)
        self.bits = min(52, 62 - (2 * depth + math.ceil(float(largest.max()))).bit_length())
        self.table = Constant(_whole(torch.stack([a, b, c, d]), self.bits))
        self.pace, self.up = Constant(pace * pixel_size), Constant(up)
        self.apart = Constant(torch.tensor([apart], dtype=torch.float64))


def _whole(value: torch.Tensor, bits: int) -> torch.Tensor:
    return (value * 2.0**bits).round().long()


class ParallelRays(Frozen):
    """The rays of parallel beams.

    Pixel (i, j) is at ``(j - (W - 1) / 2, (H - 1) / 2 - i)``, bin d at ``(first + d) ratio``.

    Attributes
    ----------
    image_shape : (int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    bins : int
    first, ratio : float
    pixel_size : float
        The unit of length.
    """

    def __init__(self, geometry: ParallelBeam) -> None:
        g = geometry
        self.image_shape = g.image_shape
        self.views = torch.stack([g.angles.cos(), g.angles.sin()], dim=1)
        self.bins = g.detector_count
        self.first = g.detector_offset / g.detector_spacing - (g.detector_count - 1) / 2
        self.ratio = g.detector_spacing / g.pixel_size
        self.pixel_size = g.pixel_size

    @cached_property
    def tracks(self) -> Tracks:
        """Where the rays cross the lines of the image."""
        height, width = self.image_shape
        cos, sin = self.views.T[..., None]
        s = (self.first + torch.arange(self.bins, dtype=torch.float64)) * self.ratio
        right, down = (width - 1) / 2 + s * cos, (height - 1) / 2 - s * sin
        dx, dy = -sin.expand_as(right), cos.expand_as(right)
        detector = (0.0, 1 / self.ratio, -self.first)
        return Tracks(self.image_shape, self.views, right, down, dx, dy, detector, False, self.pixel_size)


class DivergentRays(Frozen):
    """The rays of a cone beam, from the source to the middles of the panel's pixels.

    Attributes
    ----------
    volume_shape : (int, int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    across, along : float64 tensors, shape (columns,)
        Directions of each column's rays, along the panel's rows and along the central ray.
    up : float64 tensor, shape (rows,)
        Direction along the axis.
    radius : float
        Distance of the source from the axis.
    scale, first : float
        Bins for each radian of the central ray, and the bin that the axis is projected to.
    curved : bool
    apart : float
        Distance at the axis of the rays of neighboring rows of the panel.
    pixel_size : float
        The unit of length.
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        fan = geometry.fan
        self.volume_shape = geometry.volume_shape
        self.views = torch.stack([fan.angles.cos(), fan.angles.sin()], dim=1)
        self.across, self.along = fan.directions()
        self.up = geometry.rows()
        self.radius = fan.source_origin / fan.pixel_size
        self.scale = fan.source_detector / fan.detector_spacing
        self.first = -float(fan.bins()[0]) / fan.detector_spacing
        self.curved = fan.curved
        self.apart = geometry.row_spacing / fan.source_detector * self.radius
        self.pixel_size = fan.pixel_size

    @cached_property
    def tracks(self) -> Tracks:
        """Where the rays cross the lines of a slice."""
        right, down, dx, dy = self._in_plane
        return Tracks(
            self.volume_shape[1:],
            self.views,
            right.expand_as(dx),
            down.expand_as(dx),
            dx,
            dy,
            (1 / self.radius, self.scale / self.radius, self.first),
            self.curved,
            self.pixel_size,
        )

    @cached_property
    def climbs(self) -> Climbs:
        """Where they are between the slices."""
        right, down, dx, dy = self._in_plane
        steep = dy.abs() >= dx.abs()
        pace = torch.where(steep, -1 / dy, 1 / dx)  # of time, which is one at the detector
        begin = torch.where(steep, -down, -right) * pace
        return Climbs(self.volume_shape, begin, pace, self.up, self.apart, self.pixel_size)

    @property
    def _in_plane(self) -> tuple[torch.Tensor, ...]:
        """Columns, rows from the first pixel to the source, (views, 1), and directions (views, columns)."""
        _, height, width = self.volume_shape
        cos, sin = self.views.T[..., None]
        dx, dy = self.across * cos - self.along * sin, self.across * sin + self.along * cos
        return (width - 1) / 2 + self.radius * sin, (height - 1) / 2 + self.radius * cos, dx, dy


class PixelShadows(Frozen):
    """Where the voxels of a cone beam are projected to.

    A voxel whose coordinates from the source are u along the panel's rows, w along the central ray and z
    above the central plane is projected to the sample ``first + scale u / w`` of a row, on a curved detector
    ``first + scale atan(u / w)``, and to the row ``lowest + rise z / w``.

    Attributes
    ----------
    volume_shape : (int, int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    radius : float
        Distance of the source from the axis.
    first, scale, lowest, rise : float
    curved : bool
    directions : Constant, float64 (views, 2)
        As `views`.
    between : Constant, float64 (samples, 3, 2)
        Directions along the panel's rows and along the central ray, of the ray to each sample and of those
        between which pixels have a part in it: of its neighbors, or of the detector's edge.
    numbers : Constant, float64 (8,)
        For kernels: radius, first, scale, lowest and rise, the least and the greatest w of a voxel's middle,
        and the error in single precision of where along z the middle of a row is met, in slices.
    bits : int
        Fractional bits of places on a column of the panel, of what 64 bits leave beside the largest one.
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        fan = geometry.fan
        self.volume_shape = geometry.volume_shape
        self.views = torch.stack([fan.angles.cos(), fan.angles.sin()], dim=1)
        self.radius = fan.source_origin / fan.pixel_size
        self.first = -float(fan.bins()[0]) / fan.detector_spacing * FINE
        self.scale = fan.source_detector / fan.detector_spacing * FINE
        self.lowest = -float(geometry.rows()[0]) / geometry.row_spacing
        self.rise = fan.source_detector / geometry.row_spacing
        self.curved = fan.curved
        self.directions = Constant(self.views)
        samples = torch.arange(FINE * (fan.detector_count - 1) + 1, dtype=torch.float64)
        near, far = samples - 1, samples + 1
        near[0], far[-1] = -FINE / 2, samples[-1] + FINE / 2
        ratio = (torch.stack([samples, near, far], 1) - self.first) / self.scale
        self.between = Constant(
            torch.stack([ratio.sin(), ratio.cos()] if fan.curved else [ratio, torch.ones_like(ratio)], 2)
        )
        depth, *plane = self.volume_shape
        extent = math.hypot(*(n - 1 for n in plane)) / 2
        least, greatest = self.radius - extent, self.radius + extent
        error = _SINGLE * (depth + 2 + (geometry.row_count + abs(self.lowest)) * greatest / self.rise)
        where = self.radius, self.first, self.scale, self.lowest, self.rise, least, greatest, error
        self.numbers = Constant(torch.tensor(where, dtype=torch.float64))
        largest = abs(self.lowest) + depth * self.rise / least + geometry.row_count
        self.bits = min(52, 62 - math.ceil(largest).bit_length())
