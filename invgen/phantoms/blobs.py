"""Sums of soft round grains: their exact images, and projections along parallel rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invgen.phantoms.shapes import BLOCK, Shapes, bin_places, check_raster, view_angles

__all__ = ["Blobs"]


@dataclass(frozen=True, eq=False)
class Blobs(Shapes):
    """A sum of smooth grains ``value (1 - r^2 / a^2)^2``, each zero beyond its radius a, as for texture.

    Parameters
    ----------
    value : array_like, shape (n,)
        What each grain adds at its center.
    x, y : array_like, shape (n,)
        Centers, in length units.
    a : array_like, shape (n,)
        Radii, in length units, positive.

    Raises
    ------
    ShapeError
        If the arrays are not vectors of one length.
    ParameterError
        If a number is not finite or a radius is not positive.
    """

    value: Tensor
    x: Tensor
    y: Tensor
    a: Tensor

    @property
    def radius(self) -> float:
        """Radius of a disc around the origin that holds every grain."""
        return float((torch.hypot(self.x, self.y) + self.a).max()) if len(self) else 0.0

    def scaled(self, *, length: float = 1.0, value: float = 1.0) -> Blobs:
        """Return the phantom with all lengths and all values multiplied by the given factors."""
        lengths = {name: getattr(self, name) * length for name in ("x", "y", "a")}
        return replace(self, value=self.value * value, **lengths)

    def image(self, shape: tuple[int, int], pixel_size: float, supersample: int = 8) -> Tensor:
        """Draw the phantom, each pixel the mean over its box; see `Ellipses.image`.

        Along a line a grain is a polynomial, whose mean over a pixel is exact.
        """
        check_raster(shape, pixel_size, supersample)
        height, width = shape
        flat = torch.zeros(height * width, dtype=torch.float64)
        if not len(self):
            return flat.reshape(shape)
        side = int(2 * float(self.a.max()) / pixel_size) + 2  # pixels that the largest may touch
        cells = torch.arange(side)
        for part in torch.arange(len(self)).split(max(1, BLOCK // (side * side * supersample))):
            value, x, y, a = (getattr(self, name)[part, None] for name in ("value", "x", "y", "a"))
            column = ((x - a) / pixel_size + width / 2).floor().long() + cells
            row = (height / 2 - (y + a) / pixel_size).floor().long() + cells
            lines = row[..., None] + (torch.arange(supersample, dtype=torch.float64) + 0.5) / supersample
            square = (a * a - ((height / 2 - lines.flatten(1)) * pixel_size - y) ** 2).clamp_min_(0)[
                ..., None
            ]
            edges = (torch.cat((column, column[:, -1:] + 1), 1) - width / 2) * pixel_size - x
            half = square.sqrt()
            u = edges[:, None].clamp(-half, half)
            mass = (square**2 * u - 2 / 3 * square * u**3 + u**5 / 5).diff(dim=2)
            mean = mass.unflatten(1, (side, supersample)).mean(2) * (value / (pixel_size * a**4))[..., None]
            inside = ((row >= 0) & (row < height))[..., None] & ((column >= 0) & (column < width))[:, None]
            place = row[..., None] * width + column[:, None]
            flat.index_add_(0, place[inside], mean[inside])
        return flat.reshape(shape)

    def sinogram(
        self,
        angles: Tensor | Sequence[float],
        detector_count: int,
        detector_spacing: float = 1.0,
        detector_offset: float = 0.0,
        bin_average: bool = True,
    ) -> Tensor:
        """Project the phantom along parallel rays, in closed form; parameters as for `Ellipses.sinogram`.

        A ray that passes the center at the distance ``u a`` collects ``16/15 value a (1 - u^2)^(5/2)``.
        """
        t = view_angles(angles)[:, None, None]
        s = bin_places(detector_count, detector_spacing, detector_offset)
        if bin_average:
            s = torch.cat((s, s[-1:] + detector_spacing)) - detector_spacing / 2  # the bins' edges
        total = torch.zeros(len(t), len(s), dtype=torch.float64)
        for part in torch.arange(len(self)).split(max(1, BLOCK // (len(t) * len(s)))):
            value, x, y, a = (getattr(self, name)[part] for name in ("value", "x", "y", "a"))
            u = ((s[:, None] - x * t.cos() - y * t.sin()) / a).clamp_(-1, 1)
            root = (1 - u * u).sqrt_()
            if bin_average:  # the antiderivative of the fifth power of the root, by parts
                third = (u * root**3) / 4 + 3 / 8 * (u * root + u.asin())
                total += (16 / 15 * value * a * a * (u * root**5 / 6 + 5 / 6 * third)).sum(2)
            else:
                total += (16 / 15 * value * a * root**5).sum(2)
        return total.diff(dim=1) / detector_spacing if bin_average else total
