"""Sums of uniform polygons: their exact images, and projections along parallel rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.errors import ParameterError, ShapeError
from invgen.phantoms.shapes import BLOCK, add_steps, bin_places, check_raster, view_angles

__all__ = ["Polygons"]


@dataclass(frozen=True, eq=False)
class Polygons:
    """A sum of uniform polygons; where they overlap, their values add.

    Parameters
    ----------
    value : array_like, shape (n,)
        What each polygon adds inside (attenuation, in 1/length for a scan).
    vertices : sequence of n array_like, shape (k, 2)
        Corners (x, y) of each, in length units, in their order around it, either way. Edges do not cross.

    Raises
    ------
    ShapeError
        If there is not one list of at least three corners for each value.
    ParameterError
        If a number is not finite.
    """

    value: Tensor
    vertices: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        value = torch.as_tensor(self.value, dtype=torch.float64).clone()
        vertices = tuple(torch.as_tensor(corners, dtype=torch.float64).clone() for corners in self.vertices)
        if value.shape != (len(vertices),):
            raise ShapeError(
                f"Polygons expects one value for each; got {tuple(value.shape)} for {len(vertices)}."
            )
        for corners in vertices:
            if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
                raise ShapeError(f"A polygon has three corners (x, y) or more; got {tuple(corners.shape)}.")
        if not all(bool(torch.isfinite(numbers).all()) for numbers in (value, *vertices)):
            raise ParameterError("Polygons expects finite numbers; there is NaN or Inf among them.")
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "vertices", vertices)

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def radius(self) -> float:
        """Radius of a disc around the origin that holds every polygon."""
        return max((float(torch.hypot(*corners.T).max()) for corners in self.vertices), default=0.0)

    def scaled(self, *, length: float = 1.0, value: float = 1.0) -> Polygons:
        """Return the phantom with all lengths and all values multiplied by the given factors."""
        return Polygons(self.value * value, tuple(corners * length for corners in self.vertices))

    def image(self, shape: tuple[int, int], pixel_size: float, supersample: int = 8) -> Tensor:
        """Draw the phantom, each pixel the mean over its box; see `Ellipses.image`.

        Exact along the lines that each row of pixels is cut into, a midpoint sum across them.
        """
        check_raster(shape, pixel_size, supersample)
        height, width = shape
        value, x0, y0, x1, y1 = self._edges()
        line = (
            height / 2 - (torch.arange(height * supersample, dtype=torch.float64) + 0.5) / supersample
        ) * pixel_size
        steps = torch.zeros(height, width + 1, dtype=torch.float64)
        block = max(1, BLOCK // max(1, len(value)))
        for start in range(0, len(line), block):
            y = line[start : start + block]
            edge, at = ((y0[:, None] <= y) != (y1[:, None] <= y)).nonzero().T
            x = x0[edge] + (y[at] - y0[edge]) / (y1[edge] - y0[edge]) * (x1[edge] - x0[edge])
            # counterclockwise, the left side of a polygon runs downwards
            rise = value[edge] * torch.sign(y0[edge] - y1[edge]) / supersample
            add_steps(steps, (start + at) // supersample, x / pixel_size + width / 2, rise)
        return steps[:, :-1].cumsum(1)

    def sinogram(
        self,
        angles: Tensor | Sequence[float],
        detector_count: int,
        detector_spacing: float = 1.0,
        detector_offset: float = 0.0,
        bin_average: bool = True,
    ) -> Tensor:
        """Project the phantom along parallel rays, in closed form; parameters as for `Ellipses.sinogram`.

        In the axes of a view, s along the detector and w along the rays, the chord of a counterclockwise
        polygon is the sum of ``-w`` over the edges that the ray crosses towards larger s, and of w over the
        others: Green's theorem. Along an edge w is linear in s, so that the mean over a bin is exact, too.
        """
        t = view_angles(angles)[:, None, None]
        s = bin_places(detector_count, detector_spacing, detector_offset)
        if bin_average:
            s = torch.cat((s, s[-1:] + detector_spacing)) - detector_spacing / 2  # the bins' edges
        value, x0, y0, x1, y1 = self._edges()
        s0, s1 = (x * t.cos() + y * t.sin() for x, y in ((x0, y0), (x1, y1)))
        w0, w1 = (y * t.cos() - x * t.sin() for x, y in ((x0, y0), (x1, y1)))
        total = torch.zeros(len(t), len(s), dtype=torch.float64)
        views = max(1, BLOCK // max(1, len(s) * len(value)))
        for i in range(0, len(t), views):
            a, b, c, d = (end[i : i + views] for end in (s0, s1, w0, w1))
            run = torch.where(a == b, math.inf, b - a)
            u = (s[:, None] - a) / run
            if bin_average:
                u = u.clamp_(0, 1)
                total[i : i + views] = -(value * (b - a).abs() * (c * u + (d - c) * u * u / 2)).sum(2)
            else:
                crossed = (a <= s[:, None]) != (b <= s[:, None])
                total[i : i + views] = -(value * crossed * run.sign() * (c + (d - c) * u)).sum(2)
        return total.diff(dim=1) / detector_spacing if bin_average else total

    def _edges(self) -> tuple[Tensor, ...]:
        """Value, x and y of the beginning, x and y of the end of all edges, counterclockwise."""
        columns = [torch.zeros(5, 0, dtype=torch.float64)]
        for value, corners in zip(self.value, self.vertices, strict=True):
            ends = corners.roll(-1, 0)
            area = (corners[:, 0] * ends[:, 1] - corners[:, 1] * ends[:, 0]).sum()
            columns.append(torch.stack([value.expand(len(corners)) * area.sign(), *corners.T, *ends.T]))
        return tuple(torch.cat(columns, dim=1))
