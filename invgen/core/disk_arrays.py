"""Arrays of tensors on disk, slab by slab; for what PyTorch does see `invgen.core.disk_operations`."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch

from invgen.core.errors import CapabilityError, FileError

__all__ = ["Room", "Stored", "by_slabs", "slab_of", "slabs"]


@dataclass(frozen=True)
class Room:
    """Where tensors are kept, and how much of them is held in memory at a time.

    Parameters
    ----------
    folder : Path
        On a disk with room for all.
    slab : int
        Bytes of a slab; a step holds about three at a time.
    """

    folder: Path
    slab: int


class _File:
    """The array of a tensor of at least three axes, in a file that has no name; zeros at first."""

    def __init__(self, room: Room, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.dtype, self._lead = dtype, math.prod(shape[:-3])
        self._depth, self._height, self._width = shape[-3:]
        self._row = self._width * dtype.itemsize
        self._folder = room.folder
        with self._written():
            self._file = tempfile.TemporaryFile(dir=room.folder, buffering=0)  # noqa: SIM115 - closed with it
            os.ftruncate(self._file.fileno(), math.prod(shape) * dtype.itemsize)

    def read(self, first: int, stop: int, top: int = 0, bottom: int | None = None) -> torch.Tensor:
        """Slices, and some rows of each: (lead, slices, rows, W)."""
        bottom = self._height if bottom is None else bottom
        out = torch.empty(self._lead, stop - first, bottom - top, self._width, dtype=self.dtype)
        for part, offset in self._parts(out, first, top):
            while part:
                count = os.preadv(self._file.fileno(), [part], offset)
                if not count:
                    raise FileError(f"A file of a volume in {self._folder} is shorter than it was.")
                part, offset = part[count:], offset + count
        return out

    def write(self, values: torch.Tensor, first: int, top: int = 0) -> None:
        """Write slices from the `first` on, or their rows from `top` on: (lead, slices, rows, W)."""
        shape = (self._lead, -1, values.shape[-2], self._width)
        with self._written():
            for part, offset in self._parts(values.to(self.dtype).reshape(shape).contiguous(), first, top):
                while part:
                    count = os.pwrite(self._file.fileno(), part, offset)
                    part, offset = part[count:], offset + count

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileError(
                f"A volume that is larger than memory cannot be kept in {self._folder}: {error.strerror}. "
                "Make room there, write the output to another disk, or give a higher bound of memory."
            ) from error

    def _parts(self, values: torch.Tensor, first: int, top: int) -> Iterator[tuple[memoryview, int]]:
        """What lies together in memory and in the file, and where it begins in the file."""
        _, slices, rows, _ = values.shape
        whole = rows == self._height
        data = memoryview(cast(Any, values.numpy().reshape(-1).view("u1")))
        size = rows * self._row * (slices if whole else 1)
        for number in range(self._lead * (1 if whole else slices)):
            element, place = (number, first) if whole else divmod(number, slices)
            place = place if whole else place + first
            offset = ((element * self._depth + place) * self._height + top) * self._row
            yield data[number * size : (number + 1) * size], offset


class Stored(torch.Tensor):
    """A tensor (..., D, H, W) whose array is a file; without operations, see `invgen.core.disk.OnDisk`."""

    room: Room
    file: _File

    @staticmethod
    def __new__(cls, room: Room, shape: Any, dtype: torch.dtype, file: _File | None = None) -> Self:
        """Take an array, or one of zeros."""
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls, tuple(shape), dtype=dtype, device=torch.device("cpu")
        )
        made.room, made.file = room, _File(room, tuple(shape), dtype) if file is None else file
        return made

    def __init__(self, *_: Any) -> None:
        """All is done before."""

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{type(self).__name__}({tuple(self.shape)}, {self.dtype}, {self.room.folder})"

    def another(self, shape: Any, dtype: torch.dtype, file: _File | None = None) -> Self:
        """One of its kind beside it, of zeros, or a view of a file."""
        return type(self)(self.room, shape, dtype, file)

    def read(self, first: int, stop: int) -> torch.Tensor:
        """Slices in memory, shape (..., stop - first, H, W)."""
        return self.file.read(first, stop).reshape(*self.shape[:-3], stop - first, *self.shape[-2:])

    def write(self, values: torch.Tensor, first: int) -> None:
        """Replace slices from the `first` on."""
        self.file.write(values, first)

    def __setitem__(self, index: Any, values: Any) -> None:
        if not isinstance(index, int) or self.ndim != 3:
            raise CapabilityError("Of a volume on disk one slice is replaced at a time: x[k] = values.")
        self.write(torch.as_tensor(values), index)

    def read_rows(self, top: int, bottom: int) -> torch.Tensor:
        """Rows of all slices in memory, shape (..., D, bottom - top, W)."""
        depth, _, width = self.shape[-3:]
        rows = self.file.read(0, depth, top, bottom)
        return rows.reshape(*self.shape[:-2], bottom - top, width)

    def write_rows(self, values: torch.Tensor, top: int) -> None:
        """Replace rows of all slices, from `top` on; `values` are (..., D, rows, W)."""
        self.file.write(values, 0, top)


def slab_of(x: Any, first: int, stop: int, depth: int) -> Any:
    """Slices of a tensor that has so many along its third last axis; others are the same for all slices."""
    if isinstance(x, Stored):
        return x.read(first, stop)
    if isinstance(x, torch.Tensor) and x.ndim >= 3 and x.shape[-3] == depth > 1:
        return x.narrow(-3, first, stop - first)
    return x


def slabs(depth: int, bytes_per_slice: float, room: Room) -> Iterator[tuple[int, int]]:
    """First and last slices, exclusive, of the slabs that there is memory for."""
    count = max(1, int(room.slab // max(bytes_per_slice, 1)))
    for first in range(0, depth, count):
        yield first, min(first + count, depth)


def by_slabs(function: Callable[..., torch.Tensor], *tensors: Any, halo: int = 0) -> torch.Tensor:
    """Apply a function of slices to tensors, to those on disk a slab at a time.

    Parameters
    ----------
    function : callable
        Returns a tensor with as many slices (its third last axis) as it is given.
    *tensors : tensor, shape (..., D, H, W), or one that is the same for all slices
    halo : int
        Slices on either side that a slice depends on; what the function returns for them is left out.

    Returns
    -------
    tensor
        On disk where one of the tensors is.
    """
    kept = [x for x in tensors if isinstance(x, Stored)]
    if not kept:
        return function(*tensors)
    depth, room, out = kept[0].shape[-3], kept[0].room, None
    # besides what is read there are the result and what the function holds for itself
    size = 3 * sum(x.numel() // depth * x.dtype.itemsize for x in kept)
    for first, stop in slabs(depth, size, room):
        low, high = max(first - halo, 0), min(stop + halo, depth)
        part = function(*(slab_of(x, low, high, depth) for x in tensors)).narrow(
            -3, first - low, stop - first
        )
        if out is None:
            out = kept[0].another((*part.shape[:-3], depth, *part.shape[-2:]), part.dtype)
        out.write(part, first)
    assert out is not None, "a tensor has slices"
    return out
