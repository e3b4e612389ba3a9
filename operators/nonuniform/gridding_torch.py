"""Sums between points and the cells of a grid in plain PyTorch, for any device: the core of a NUFFT.

A function at the points is a sum of the grid's values, each weighted by a kernel of the distance. Arrays have
three axes of cells; grids of images have one of length one, along which the weight is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

__all__ = ["SHAPE_PER_CELL", "TILE", "Layout", "interpolate", "lay_out", "spread"]

#: Cells along an edge of the tiles in which a grid is summed. Lengths along rows and columns are multiples.
TILE = 16

#: Shape parameter of the kernel per cell of its width: FINUFFT's for a grid of twice the image's size.
SHAPE_PER_CELL = 2.3

#: Points that one program sums into a tile: fewer are too little work, and with more the few programs of the
#: middle of radial trajectories would be the last to end.
_PIECE = 256


@dataclass(frozen=True)
class Layout:
    """Where points lie on a periodic grid, sorted by columns of tiles.

    A column of tiles is a `TILE` by `TILE` square of rows and columns at all depths. Each tile is a depth of
    a column, and is numbered in this order: depth, then row and column of tiles.
    """

    #: Cells along depth, rows and columns.
    grid: tuple[int, ...]
    #: Cells that a point reaches along each axis: 1 along the depth of images.
    reach: tuple[int, ...]
    #: First cell that each point reaches, int32 (3, M), and how far it lies from the point, (3, M).
    first: torch.Tensor
    offset: torch.Tensor
    #: Number of each point in the order of the caller, int32 (M,).
    order: torch.Tensor
    #: Points by the columns of tiles that they reach, int32, each as often as it reaches one.
    listed: torch.Tensor
    #: Pieces of work, int32 (pieces, 4): tile, begin and end in `listed`, and the number of its part; -1
    #: where it is the only one of its tile.
    pieces: torch.Tensor
    #: Tiles with several parts, int32 (tiles, 3): tile, begin and end of its parts.
    crowded: torch.Tensor
    #: Number of parts.
    parts: int

    def to(self, device: torch.device) -> Layout:
        """The same on a device."""
        return replace(
            self,
            first=self.first.to(device),
            offset=self.offset.to(device),
            order=self.order.to(device),
            listed=self.listed.to(device),
            pieces=self.pieces.to(device),
            crowded=self.crowded.to(device),
        )


def lay_out(points: torch.Tensor, grid: tuple[int, ...], width: int, dtype: torch.dtype) -> Layout:
    """Sort points, and divide the work.

    Parameters
    ----------
    points : float64 tensor, shape (M, 2 or 3)
        In periods of the grid.
    grid : tuple of int
        Cells along each axis, even, and multiples of `TILE` along the last two.
    width : int
        Cells that a point reaches along each axis.
    dtype : torch.dtype
        Real precision of the distances: they are computed in float64 and rounded once.
    """
    cells = points.new_tensor(grid)
    place = (points - points.round()) * cells
    first = torch.ceil(place - width / 2)
    offset = first - place
    first = first.remainder(cells).long()
    missing = 3 - len(grid)
    first, offset = (torch.nn.functional.pad(each, (missing, 0)) for each in (first, offset))
    depth, rows, columns = sizes = (*(1,) * missing, *grid)
    reach = (*(1,) * missing, *(width,) * len(grid))

    # by the tile of the first cell, so that neighbors among the points are neighbors on the grid
    column = (first[:, 1] // TILE * columns + first[:, 2]) // TILE
    order = torch.argsort(column * depth + first[:, 0], stable=True)
    first, offset = first[order], offset[order]

    listed, keys = _by_columns(first, sizes, reach)
    # a tile sums the points of its column whose first cell is at its depth, or less than their reach above;
    # `keys` count depths from one less than the reach above the first one
    levels = depth + reach[0] - 1
    tiles = torch.arange(depth * rows * columns // TILE**2, device=points.device)
    across = rows * columns // TILE**2
    lowest = tiles % across * levels + tiles // across
    begin = torch.searchsorted(keys, lowest)
    end = torch.searchsorted(keys, lowest + reach[0])

    longest = int((end - begin).max())
    # of a tile with very many points the programs have more, so that its parts are few enough to be summed
    piece = max(_PIECE, TILE * math.isqrt(longest))
    count = ((end - begin + piece - 1) // piece).clamp(min=1)
    tile = tiles.repeat_interleave(count)
    number = torch.arange(len(tile), device=points.device) - (count.cumsum(0) - count)[tile]
    start = begin[tile] + number * piece
    many = count > 1
    parts = torch.where(many, count, 0).cumsum(0)
    part = torch.where(many[tile], (parts - count)[tile] + number, -1)
    pieces = torch.stack([tile, start, torch.minimum(start + piece, end[tile]), part], dim=1)
    crowded = torch.stack([tiles, parts - count, parts], dim=1)[many]
    return Layout(
        sizes,
        reach,
        first.T.int().contiguous(),
        offset.T.to(dtype).contiguous(),
        order.int(),
        listed.int(),
        pieces.int(),
        crowded.int(),
        int(parts[-1]),
    )


def _by_columns(
    first: torch.Tensor, sizes: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points by column of tiles and first depth, in all columns that they reach, and what sorts them.

    Points whose reach passes the last depth come once more, before the first one.
    """
    depth = sizes[0]
    levels = depth + reach[0] - 1
    numbers, keys = [], []
    everyone = torch.arange(len(first), device=first.device)
    most = -(-(max(reach) - 1) // TILE) + 1
    for down, right, before in itertools.product(range(most), range(most), (False, True)):
        chosen = torch.ones_like(everyone, dtype=torch.bool)
        column = torch.zeros_like(everyone)
        for axis, step in ((1, down), (2, right)):
            tiles = sizes[axis] // TILE
            begin, last = first[:, axis] // TILE, (first[:, axis] + reach[axis] - 1) // TILE
            chosen &= (begin + step <= last) & (step < tiles)
            column = column * tiles + (begin + step) % tiles
        level = first[:, 0] + reach[0] - 1
        if before:
            level = level - depth
            chosen &= level >= 0
        numbers.append(everyone[chosen])
        keys.append((column * levels + level)[chosen])
    key, number = torch.cat(keys), torch.cat(numbers)
    key, sorted_by = torch.sort(key, stable=True)
    return number[sorted_by], key


def interpolate(layout: Layout, grid: torch.Tensor) -> torch.Tensor:
    """Values at the points, complex (batch, M), of complex grids (batch, *layout.grid)."""
    flat = grid.reshape(len(grid), -1)
    values = flat.new_zeros(len(grid), layout.first.shape[1])
    for cell, weight in _reached(layout):
        values += weight * flat[:, cell]
    result = torch.empty_like(values)
    result[:, layout.order.long()] = values
    return result


def spread(layout: Layout, values: torch.Tensor) -> torch.Tensor:
    """Transpose of `interpolate`: values at the points, (batch, M), to grids (batch, *layout.grid)."""
    values = values[:, layout.order.long()]
    grid = values.new_zeros(len(values), math.prod(layout.grid))
    for cell, weight in _reached(layout):
        grid.index_add_(1, cell, weight * values)
    return grid.reshape(len(values), *layout.grid)


def _reached(layout: Layout) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cells that the points reach, one of each at a time, and their weights."""
    for steps in itertools.product(*map(range, layout.reach)):
        cell, weight = torch.zeros_like(layout.first[0], dtype=torch.int64), torch.ones_like(layout.offset[0])
        for axis, (step, n) in enumerate(zip(steps, layout.grid, strict=True)):
            along = layout.first[axis] + step
            cell = cell * n + along % n
            if layout.reach[axis] > 1:
                weight = weight * _weight(layout.offset[axis] + step, along, layout.reach[axis])
        yield cell, weight


def _weight(distance: torch.Tensor, cell: torch.Tensor, width: int) -> torch.Tensor:
    """The "exponential of semicircle" kernel, Barnett et al. (2019), eq. 1.8, negative at odd cells.

    The signs move the image's middle from the origin to the middle of a grid of even length.
    """
    z = distance * (2 / width)
    value = torch.exp(((1 - z * z).clamp(min=0).sqrt() - 1) * (SHAPE_PER_CELL * width))
    return torch.where(cell % 2 == 1, -value, value)
