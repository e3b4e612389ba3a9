"""Tensors that are kept on disk, for volumes larger than memory.

A solver is written once, for tensors. Of a problem whose measurement is `OnDisk` all images and data are,
too: what PyTorch does entry by entry, and its sums, it does a few slices at a time, and the few computations
in which slices depend on each other, projections, finite differences and Fourier transforms, have kernels of
their own. Results are those in memory, to the rounding of sums.

Arrays are files without a name, read and written by calls rather than mapped: memory is bounded by what is
asked for, a full disk raises, and a process that is killed leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from invgen.core.disk_arrays import Room, Stored, by_slabs, slabs
from invgen.core.disk_operations import perform
from invgen.core.memory import allowed_memory

__all__ = [
    "OnDisk",
    "Room",
    "Rows",
    "by_slabs",
    "is_on_disk",
    "loaded",
    "median",
    "on_disk",
    "room_on_disk",
    "slabs",
    "some_slices",
    "volumes_in",
    "zeros",
]


class OnDisk(Stored):
    """A tensor (..., D, H, W) that is kept on disk, and computed with slice by slice along D.

    Made by `on_disk`. It is not differentiable, and on the CPU only. Operations that need more than some
    slices at a time are refused; slices of it are copies.

    Attributes
    ----------
    room : Room
    """

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return perform(func, args, kwargs or {})


#: The folder that volumes larger than memory are kept in, in this context; it is no setting of the process.
_folder: ContextVar[Path | None] = ContextVar("invgen_folder_of_volumes", default=None)


@contextmanager
def volumes_in(folder: Path | None) -> Iterator[None]:
    """Let volumes that do not fit in memory be kept in this folder within the block; None refuses them."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def room_on_disk() -> Room | None:
    """Room in the folder of this context, for slabs of an eighth of the memory allowed; None without one.

    A step holds a few of them at a time, beside the libraries.
    """
    folder = _folder.get()
    return None if folder is None else Room(folder, allowed_memory() // 8)


def is_on_disk(x: Any) -> bool:
    """Whether it is a tensor that is kept on disk."""
    return isinstance(x, OnDisk)


def on_disk(x: torch.Tensor, room: Room) -> OnDisk:
    """A copy on disk of a tensor of at least three axes."""
    kept = OnDisk(room, x.shape, x.dtype)
    kept.write(x.detach().cpu(), 0)
    return kept


def loaded(x: torch.Tensor) -> torch.Tensor:
    """The tensor in memory."""
    return x.read(0, x.shape[-3]) if isinstance(x, OnDisk) else x


def some_slices(x: torch.Tensor) -> torch.Tensor:
    """Evenly spaced slices in memory, at most about 2^24 numbers, of a tensor on disk; else all of it."""
    return loaded(x[..., :: 1 + (x.numel() >> 24), :, :]) if isinstance(x, OnDisk) else x


def zeros(shape: tuple[int, ...], dtype: torch.dtype, like: torch.Tensor) -> torch.Tensor:
    """Zeros where `like` is: on its device, or on disk."""
    if isinstance(like, OnDisk):
        return OnDisk(like.room, shape, dtype)
    return torch.zeros(shape, dtype=dtype, device=like.device)


def median(x: torch.Tensor, axes: int) -> torch.Tensor:
    """The lower median of non-negative numbers along so many last axes, together.

    On disk by bisection of the bits, in whose order such numbers are: exact in as many passes.
    """
    if not isinstance(x, OnDisk):
        return x.flatten(-axes).median(dim=-1).values
    whole = torch.int64 if x.dtype.itemsize == 8 else torch.int32
    low, high = (end.view(whole).item() for end in (x.min(), x.max()))
    rank = (x.numel() + 1) // 2
    while low < high:
        middle = (low + high) // 2
        bound = torch.tensor(middle, dtype=whole).view(x.dtype)
        low, high = (low, middle) if int((x <= bound).sum()) >= rank else (middle + 1, high)
    return torch.tensor(high, dtype=whole).view(x.dtype)


class Rows:
    """Rows (views, columns) that come one after another, as one tensor (views, rows, columns).

    Parameters
    ----------
    count : int
        Number of rows.
    room : Room or None
        Where to keep them; None is in memory.
    """

    def __init__(self, count: int, room: Room | None) -> None:
        self._count, self._room, self._done = count, room, 0
        self._kept: OnDisk | None = None
        self._waiting: list[torch.Tensor] = []

    def add(self, row: torch.Tensor) -> None:
        """Take the next row."""
        self._waiting.append(row)
        if self._room is not None:
            size = row.numel() * row.element_size() * len(self._waiting)
            if self._done + len(self._waiting) == self._count or 4 * size > self._room.slab:
                self._write(self._room)

    def _write(self, room: Room) -> None:
        rows = torch.stack(self._waiting, 1)
        if self._kept is None:
            self._kept = OnDisk(room, (rows.shape[0], self._count, rows.shape[2]), rows.dtype)
        self._kept.write_rows(rows, self._done)
        self._done += rows.shape[1]
        self._waiting = []

    def together(self) -> torch.Tensor:
        """All rows, once they are there."""
        return torch.stack(self._waiting, 1) if self._kept is None else self._kept
