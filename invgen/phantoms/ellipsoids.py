"""Sums of uniform ellipsoids, and their exact volumes and cone-beam projections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invgen.phantoms.shapes import BLOCK, Shapes, bin_places, check_source, draw, view_angles, window

__all__ = ["Ellipsoids"]


@dataclass(frozen=True, eq=False)
class Ellipsoids(Shapes):
    """A sum of uniform ellipsoids, each with one axis along z; where they overlap, their values add.

    Parameters
    ----------
    value : array_like, shape (n,)
        What each ellipsoid adds inside (attenuation, in 1/length for a scan).
    x, y, z : array_like, shape (n,)
        Centers, in length units.
    a, b, c : array_like, shape (n,)
        Semi-axes along the ellipsoid's own first and second axis, and along z, in length units, positive.
    rotation : array_like, shape (n,)
        Angle about z, counterclockwise, from the x axis to the first own axis, in radians.

    Raises
    ------
    ShapeError
        If the arrays are not vectors of one length.
    ParameterError
        If a number is not finite or a semi-axis is not positive.
    """

    value: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    a: Tensor
    b: Tensor
    c: Tensor
    rotation: Tensor

    @property
    def radius(self) -> float:
        """Radius of a cylinder around the z axis that holds every ellipsoid."""
        reach = torch.hypot(self.x, self.y) + torch.maximum(self.a, self.b)
        return float(reach.max()) if len(self) else 0.0

    def scaled(self, *, length: float = 1.0, height: float = 1.0, value: float = 1.0) -> Ellipsoids:
        """Return the phantom with all lengths multiplied, along z by `height` as well, and all values."""
        factors = {name: length * (height if name in "zc" else 1) for name in ("x", "y", "z", "a", "b", "c")}
        lengths = {name: getattr(self, name) * factor for name, factor in factors.items()}
        return replace(self, value=self.value * value, **lengths)

    def volume(self, shape: tuple[int, int, int], voxel_size: float, supersample: int = 4) -> Tensor:
        """Draw the phantom, each voxel the mean of the phantom over its box.

        A voxel is crossed by `supersample` times `supersample` lines along x. The chord that an ellipsoid
        cuts from a line, and its length in each voxel, are exact; only the integrals over y and z are
        (midpoint) sums.

        Parameters
        ----------
        shape : tuple of int
            Slices, rows and columns of the volume.
        voxel_size : float
            Side of a voxel, in length units.
        supersample : int
            Lines per voxel row, and per slice.

        Returns
        -------
        Tensor, float64, shape (D, H, W)
            Slice k is at ``z = (k - (D - 1) / 2) * voxel_size``; its row 0 is the top (largest y).
        """
        return draw(self._rows(), shape, voxel_size, (supersample, supersample))

    def cone_sinogram(
        self,
        angles: Tensor | Sequence[float],
        source_origin: float,
        source_detector: float,
        detector_shape: tuple[int, int],
        detector_spacing: float | tuple[float, float],
        detector_offset: tuple[float, float] = (0.0, 0.0),
        subrays: int = 4,
    ) -> Tensor:
        """Project the phantom along the rays of a cone to a flat detector, each chord in closed form.

        At view angle t the source is at ``-source_origin * e_w``, in the plane z = 0, with
        ``e_w = (-sin t, cos t, 0)``; the ray to column place u and row place v runs along
        ``u e_u + source_detector e_w + v e_z``, where ``e_u = (cos t, sin t, 0)``. Where an ellipsoid is the
        unit ball, a ray through p along q cuts ``2 sqrt(|q|^2 - |p x q|^2) / |q|^2`` times its own length.

        Parameters
        ----------
        angles : Tensor or sequence of float, shape (views,)
            Angles t, in radians.
        source_origin, source_detector : float
            Distances from the source to the rotation axis and to the detector. The source is outside of the
            phantom's cylinder.
        detector_shape : (int, int)
            Rows R and columns n.
        detector_spacing : float or (float, float)
            Spacing of the rows and of the columns, in length units on the detector itself.
        detector_offset : (float, float)
            Row r is at ``v = (r - (R - 1) / 2) * spacing + offset``, upwards (first number); column d at
            ``u = (d - (n - 1) / 2) * spacing + offset`` (second number).
        subrays : int
            A pixel is the mean of ``subrays ** 2`` rays at equal distances in it; 1 is the ray through its
            center. With 4, the projections of `foam_3d` on 256 columns are within 0.1 % (relative l2) of
            those with many rays; with 1, within 1.4 %.

        Returns
        -------
        Tensor, float64, shape (views, rows, columns)
            Line integrals, in value times length.

        Raises
        ------
        ParameterError, ShapeError
            If the detector or a distance makes no sense, or the angles are no vector.
        """
        t = view_angles(angles)
        spacings = detector_spacing if isinstance(detector_spacing, Sequence) else (detector_spacing,) * 2
        check_source(source_origin, source_detector, self.radius)
        # Directions are divided by source_detector: e_w has length one.
        v, u = (
            bin_places(count, spacing, offset, subrays) / source_detector
            for count, spacing, offset in zip(detector_shape, spacings, detector_offset, strict=True)
        )
        total = torch.zeros(len(t), *detector_shape, dtype=torch.float64)
        view = torch.arange(len(t))[:, None, None]
        height = max(1, BLOCK // (len(u) * subrays))  # detector rows at once
        for heights, sums in zip(v.split(height * subrays), total.split(height, 1), strict=True):
            for value, *ellipsoid in self._rows():
                shadow = _shadow(t, source_origin, u, heights, ellipsoid, subrays)
                (columns, column_rays), (rows, row_rays) = shadow
                rays = column_rays.shape[1] * row_rays.shape[1]
                if rays == 0:
                    continue
                for part in torch.arange(len(t)).split(max(1, BLOCK // rays)):
                    across, up = u[column_rays[part]], heights[row_rays[part]]
                    chords = _chords(t[part], source_origin, across, up, ellipsoid)
                    pixels = chords.reshape(len(part), rows.shape[1], subrays, columns.shape[1], subrays)
                    place = view[part], rows[part, :, None], columns[part, None]  # no pixel is there twice
                    sums[place] += value * pixels.mean((2, 4))
        return total


def _shadow(
    t: Tensor, source_origin: float, u: Tensor, v: Tensor, ellipsoid: Sequence[float], subrays: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Columns and rows, and the rays in them, that can meet the upright cylinder around an ellipsoid."""
    x, y, z, a, b, c, _ = ellipsoid
    side, depth = x * t.cos() + y * t.sin(), source_origin + y * t.cos() - x * t.sin()
    radius = max(a, b)
    toward, half = torch.atan2(side, depth), (radius / torch.hypot(side, depth)).asin()
    columns = window(u, (toward - half).tan(), (toward + half).tan(), subrays)
    # The slope z / depth is extreme at the cylinder's near or far side.
    slopes = torch.stack([end / (depth + far) for end in (z - c, z + c) for far in (-radius, radius)])
    return columns, window(v, slopes.amin(0), slopes.amax(0), subrays)


def _chords(t: Tensor, source_origin: float, u: Tensor, v: Tensor, ellipsoid: Sequence[float]) -> Tensor:
    """Chords for rays ``u e_u + e_w + v e_z``: u (views, n) and v (views, m) to (views, m, n)."""
    x, y, z, a, b, c, rotation = ellipsoid
    cos, sin = (t - rotation).cos()[:, None], (t - rotation).sin()[:, None]
    turned_x = x * math.cos(rotation) + y * math.sin(rotation)
    turned_y = y * math.cos(rotation) - x * math.sin(rotation)
    # Source p and direction q in the coordinates where the ellipsoid is the unit ball.
    px, py, pz = (source_origin * sin - turned_x) / a, (-source_origin * cos - turned_y) / b, -z / c
    qx, qy, qz = (u * cos - sin) / a, (u * sin + cos) / b, v / c
    flat, along, cross = qx**2 + qy**2, px * qx + py * qy, px * qy - py * qx
    # |q|^2 - |p x q|^2 as a sum of what depends on the column, on the row, and of one product
    root = ((1 - pz**2) * flat - cross**2)[:, None, :] + ((1 - px**2 - py**2) * qz**2)[:, :, None]
    root += (2 * pz * qz)[:, :, None] * along[:, None, :]
    length = (1 + u**2)[:, None, :] + (v**2)[:, :, None]
    return root.clamp_min_(0).mul_(length).sqrt_().mul_(2).div_(flat[:, None, :] + (qz**2)[:, :, None])
