"""Non-uniform fast Fourier transform on any device: a padded FFT, and sums over cells of its grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from invgen.core.frozen import Constant
from invgen.core.kernels import Kernels
from invgen.operators.nonuniform import gridding_torch
from invgen.operators.nonuniform.gridding_torch import SHAPE_PER_CELL, TILE, Layout, lay_out
from invgen.operators.toeplitz import fast_length

__all__ = ["Gridding"]

Transform = Callable[[torch.Tensor], torch.Tensor]


def _gpu() -> ModuleType:
    from invgen.operators.nonuniform import gridding_gpu

    return gridding_gpu


def _trial(kernels: ModuleType, device: torch.device) -> tuple[torch.Tensor, ...]:
    """A volume, and an image with more points in a tile than one program sums."""
    results: list[torch.Tensor] = []
    for shape, count in (((18, 32, 16), 40), ((32, 48), 600)):
        layout = lay_out(_points(count, len(shape)) / 3, shape, 6, torch.float32).to(device)
        values = torch.polar(torch.ones(2, count), torch.arange(2.0 * count).reshape(2, count)).to(device)
        grid = kernels.spread(layout, values)
        results += [torch.view_as_real(each) for each in (grid, kernels.interpolate(layout, grid))]
    return tuple(results)


def _points(count: int, dimensions: int) -> torch.Tensor:
    """Points that fill the cube from -1/2 to 1/2 evenly: multiples of irrational numbers, modulo one."""
    steps = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64).sqrt()[:dimensions]
    return torch.arange(count)[:, None] * steps % 1 - 0.5


_KERNELS = Kernels(gridding_torch, gpu=_gpu, trial=_trial)

#: Cells that a point reaches along each axis. The error is near ``10^(1 - width)``: Barnett, Magland and
#: af Klinteberg (2019), section 4; Barnett (2021), Aliasing error of the exp(beta sqrt(1 - z^2)) kernel.
_WIDTH = {torch.float32: 6, torch.float64: 13}

#: Bytes of padded grids that are transformed in one call, of at least one image.
_CHUNK = 1 << 29

#: Images in one call at most: so many programs a GPU takes along its second axis.
_MOST = 65535


class Gridding:
    """The transforms of `invgen.operators.nufft.NUFFT` in one precision, on one device.

    Frequencies are sums over a grid of twice the image's size, Barnett, Magland and af Klinteberg (2019),
    section 3: images are divided by the transform of the kernel, padded with zeros and transformed,
    and each point is interpolated from the cells around it. The adjoint is the transpose of each step in
    reverse order. Both evaluate the same expression for the weights, at distances that are computed in double
    precision and rounded once. Of each point its first cell and its distance along each axis are kept, and
    its number in the list of each column of tiles that it reaches, 1.7 of them on average in single
    precision: 35 bytes for an image, and no weights.

    Parameters
    ----------
    shape : tuple of int
        Of the image, (H, W) or (D, H, W).
    points : float64 tensor, shape (M, dimensions)
        In cycles per pixel.
    like : tensor
        Its device, and its precision.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor, like: torch.Tensor) -> None:
        real = like.dtype.to_real()
        width = _WIDTH[real]
        self._grid = tuple(
            _grid_length(n, width, TILE if axis < 2 else 2)
            for axis, n in zip(reversed(range(len(shape))), shape, strict=True)
        )
        # sorted on the GPU where there is one; other devices may have no double precision
        where = points.to(like.device) if like.is_cuda else points
        self._layout: Layout = lay_out(where, self._grid, width, real).to(like.device)
        # image and grid have their middle at half their length
        self._inside = tuple(
            slice(m // 2 - n // 2, m // 2 - n // 2 + n) for n, m in zip(shape, self._grid, strict=True)
        )
        factors = torch.ones((), dtype=torch.float64)
        for n, m in zip(shape, self._grid, strict=True):
            frequencies = (torch.arange(n).double() - n // 2) / m
            factors = factors[..., None] / _transform_of_kernel(frequencies, width)
        self._factors = Constant(factors).like(like)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, *shape) to values at the points, (batch, M)."""
        return self._in_chunks(self._forward, x)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, *shape)."""
        return self._in_chunks(self._adjoint, y)

    def _in_chunks(self, transform: Transform, data: torch.Tensor) -> torch.Tensor:
        size = math.prod(self._grid) * data.element_size()
        parts = [transform(part) for part in data.split(min(max(1, _CHUNK // size), _MOST))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = x.new_zeros(len(x), *self._grid)
        torch.mul(x, self._factors, out=grid[:, *self._inside])
        grid = torch.fft.fftn(grid, dim=self._axes)
        return _KERNELS.serving(x).interpolate(self._layout, grid.view(len(x), *self._layout.grid))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        grid = _KERNELS.serving(y).spread(self._layout, y).view(len(y), *self._grid)
        # unscaled, as the adjoint is
        grid = torch.fft.ifftn(grid, dim=self._axes, norm="forward")
        return grid[:, *self._inside] * self._factors

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self._grid), 0))


def _grid_length(n: int, width: int, multiple: int) -> int:
    """A fast length of at least twice the image's size, and twice the width of the kernel."""
    return multiple * fast_length(-(-max(2 * n, 2 * width) // multiple))


def _transform_of_kernel(frequencies: torch.Tensor, width: int) -> torch.Tensor:
    """Fourier transform of the kernel, in cycles per cell, by Gauss-Legendre quadrature."""
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(4 * width + 40))
    values = torch.exp(SHAPE_PER_CELL * width * ((1 - nodes.square()).sqrt() - 1)) * weights
    waves = torch.cos(math.pi * width * frequencies[:, None] * nodes)
    return width / 2 * waves @ values
