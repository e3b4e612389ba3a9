"""Projection along the rays of a point source by interpolation, after Joseph (1982), in plain PyTorch.

A ray that runs more along y than along x is sampled once in every row of the image, linearly between the
two nearest pixels (and between the two nearest slices), else once in every column; the sum is multiplied by
the length of the ray between two samples. Forward and adjoint share the list of samples, so that one is the
transpose of the other. This is what the compiled kernels are compared with, and what other devices run.

A fan is a cone of one slice and one row of bins at the height of the source.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.core.frozen import Constant, Frozen
from invgen.operators.tomography.divergent import ConeGeometry

__all__ = ["Rays"]

#: Samples whose places are held at once: slab by slab, memory stays bounded.
_BLOCK = 1 << 21


class Rays(Frozen):
    """The rays of a scan through a volume.

    Parameters
    ----------
    geometry : ConeGeometry
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        fan = geometry.fan
        self._shape = geometry.volume_shape
        self._sinogram_shape = (len(fan.angles), geometry.row_count, fan.detector_count)
        self._pixel_size = fan.pixel_size
        self._radius = fan.source_origin / fan.pixel_size
        self._views = Constant(torch.stack([fan.angles.cos(), fan.angles.sin()], dim=1))
        self._across, self._along = (Constant(a) for a in fan.directions())
        self._up = Constant(geometry.rows())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Volumes (batch, D, H, W) to projections (batch, views, rows, columns)."""
        y = x.new_zeros(len(x), *self._sinogram_shape)
        flat = x.flatten(1)
        for view, columns, length, corners in self._samples(x):
            total: torch.Tensor | float = 0.0
            for position, weight in corners:
                total = total + (flat[:, position] * weight).sum(1)
            y[:, view][..., columns] = (total * length).mT
        return y

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Projections (batch, views, rows, columns) to volumes (batch, D, H, W)."""
        x = y.new_zeros(len(y), self._shape[0] * self._shape[1] * self._shape[2])
        for view, columns, length, corners in self._samples(y):
            values = (y[:, view][..., columns].mT * length)[:, None]
            for position, weight in corners:
                x.index_add_(1, position.flatten(), (values * weight).flatten(1))
        return x.reshape(len(y), *self._shape)

    def _samples(
        self, like: torch.Tensor
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]]:
        """For some columns of a view: lengths (columns, rows), and voxels with weights.

        Voxels are places in the flattened volume, shape (lines, columns, rows); there are up to four around
        each sample, and those outside of the volume weigh nothing.
        """
        _, height, width = self._shape
        views, across, along, up = (
            c.value.to(like.device) for c in (self._views, self._across, self._along, self._up)
        )
        for view, (cos, sin) in enumerate(views):
            dx, dy = across * cos - along * sin, across * sin + along * cos
            sx, sy = self._radius * sin, -self._radius * cos
            upright = dy.abs() >= dx.abs()
            for steep, lines in ((True, height), (False, width)):
                chosen = (upright == steep).nonzero().squeeze(1)
                size = max(1, _BLOCK // (lines * len(up)))
                for columns in chosen.split(size):
                    line = torch.arange(lines, device=like.device, dtype=torch.float64)[:, None]
                    if steep:  # rows run against y
                        time = ((height - 1) / 2 - line - sy) / dy[columns]
                        place = sx + time * dx[columns] + (width - 1) / 2
                        strides, minor, step = (width, 1), width, dy[columns]
                    else:
                        time = (line - (width - 1) / 2 - sx) / dx[columns]
                        place = (height - 1) / 2 - sy - time * dy[columns]
                        strides, minor, step = (1, width), height, dx[columns]
                    length = (dx[columns, None] ** 2 + dy[columns, None] ** 2 + up**2).sqrt()
                    length = length / step[:, None].abs() * self._pixel_size
                    corners = self._corners(
                        line[..., None], place[..., None], time[..., None] * up, strides, minor
                    )
                    yield view, columns, length.to(like.dtype), [(p, w.to(like.dtype)) for p, w in corners]

    def _corners(
        self, line: torch.Tensor, place: torch.Tensor, z: torch.Tensor, strides: tuple[int, int], minor: int
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        depth, height, width = self._shape
        layer = z + (depth - 1) / 2
        corners = []
        for j, near in _neighbours(place, minor):
            for k, close in _neighbours(layer, depth):
                position = k * (height * width) + line.long() * strides[0] + j * strides[1]
                corners.append((position, near * close))
        return corners


def _neighbours(place: torch.Tensor, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two nearest of `count` grid points, and their weights in linear interpolation."""
    low = place.floor()
    fraction = place - low
    result = []
    for index, weight in ((low, 1 - fraction), (low + 1, fraction)):
        inside = (index >= 0) & (index < count)
        result.append((index.clamp(0, count - 1).long(), weight * inside))
    return result
