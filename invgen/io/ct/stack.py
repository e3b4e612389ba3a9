"""Detector frames in a file, read one slice at a time, whatever the order of the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from invgen.core.errors import DataError, FileError, ParameterError
from invgen.core.memory import memory_left
from invgen.core.text import brief, printable, quoted
from invgen.io.entries import chosen_entry, split_axes

__all__ = ["Frames", "Stack", "fitting", "parse_axes", "stacked"]

_NAMES = {
    "angle": "angle",
    "theta": "angle",
    "theta_white": "angle",
    "theta_dark": "angle",
    "rotation_angle": "angle",
    "frame": "angle",
    "row": "row",
    "y": "row",
    "column": "column",
    "x": "column",
}
_MAX_RAYS = 2**31  # of one slice: 8 GB in float32, far beyond any detector and turntable
_READ_AHEAD = 2**24  # bytes
_NEAR = 4  # rows after the last one that count as the next: threads take turns
_SHARE = 16  # of the memory that is left, what is read at once of chunks that hold more rows


def parse_axes(axes: str, shape: tuple[int, ...], what: str) -> tuple[str, ...]:
    """Read the order of the axes, as in ``"angle,row,column"``; two axes are one slice.

    Raises
    ------
    DataError
        When the shape is not that of a stack, whatever the names.
    ParameterError
        When a name is unknown or repeated, or when the names do not fit the shape.
    """
    _check_shape(shape, what)
    names = tuple(_NAMES.get(name, name) for name in split_axes(axes))
    expected = {"angle", "column"} if len(shape) == 2 else {"angle", "row", "column"}
    if len(names) != len(shape) or set(names) != expected:
        raise ParameterError(
            f"axes={quoted(axes)} does not fit {what}, which has {len(shape)} axes of lengths {shape}. "
            f"Name each of {', '.join(sorted(expected))} once, in the order of the file, "
            f'as in "{"angle,column" if len(shape) == 2 else "angle,row,column"}" (command line: --axes).'
        )
    return names


def stacked(array: Any, axes: str, index: int | Sequence[int] | None, what: str) -> Stack:
    """Frames behind an array whose axes are stated, at an entry of those that one scan does not have.

    Raises
    ------
    DataError, ParameterError
        As `parse_axes` and `invgen.io.entries.chosen_entry` do.
    """
    every = split_axes(axes)
    entry, rest = chosen_entry(array, every, index, what)
    return Stack(entry, parse_axes(",".join(rest), entry.shape, what), what, (every, index))


def fitting(array: Any, like: Stack, what: str) -> Stack:
    """Frames of the same detector as those of another stack, whatever axes of them are left out.

    An array of three axes has them in the order of the other, or is (frame, row, column); one of two axes is
    one frame, in that order, or several of a detector of one row; one axis is one frame of such a detector.
    An array with further axes has them as the other array has.

    Raises
    ------
    DataError
        When the array does not have the rows and columns.
    """
    every, index = like.stated
    if array.ndim == len(every) > len(like.axes):
        array, _ = chosen_entry(array, every, index, what)
    frame = tuple(name for name in like.axes if name != "angle")
    orders: list[tuple[str, ...]] = [like.axes, ("angle", "row", "column"), frame]
    if like.rows == 1:
        orders += [("angle", "column"), ("column",), ("row", "column")]
    orders = [axes for axes in orders if len(axes) == array.ndim]
    sizes = [dict(zip(axes, array.shape, strict=True)) for axes in orders]
    for axes, size in zip(orders, sizes, strict=True):
        if (size.get("row", 1), size["column"]) == (like.rows, like.columns):
            return Stack(array, axes, what, mirrored=like.mirrored)
    found = f"has the shape {tuple(array.shape)}"
    if array.ndim == 3:
        found = (
            f"have {sizes[0]['row']} rows and {sizes[0]['column']} columns" if "row" in sizes[0] else found
        )
    raise DataError(
        f"the {what} {found}, the projections {like.rows} rows and {like.columns} columns: give frames of "
        f"the same detector, {'(k, columns)' if like.rows == 1 else '(k, rows, columns)'}, or one of them."
    )


def _check_shape(shape: tuple[int, ...], what: str) -> None:
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(
            f"{what} should be a stack of frames (2 or 3 axes, none empty); its shape is {tuple(shape)}."
        )


class Stack:
    """Frames ``(angle, row, column)`` behind an array that is read on demand.

    Parameters
    ----------
    array : Dataset, memory map or array, up to three axes
        Anything with ``shape``, ``dtype`` and basic slicing.
    axes : tuple of str
        The names of its axes, from `parse_axes`; without "angle" it is one frame.
    what : str
        What the array is, for messages.
    mirrored : bool
        Whether columns are counted from the other end.
    stated : (tuple of str, int or sequence of int or None), optional
        All axes of the array in the file, and the entry that was chosen along those that one scan does not
        have.
    """

    def __init__(
        self, array: Any, axes: tuple[str, ...], what: str, stated: Any = None, mirrored: bool = False
    ):
        if array.dtype.kind not in "uif":
            raise DataError(f"{what} should hold real numbers; it holds {brief(array.dtype)}.")
        if 0 in array.shape:
            _check_shape(array.shape, what)
        self.stated, self.mirrored = (axes, None) if stated is None else stated, mirrored
        size = dict(zip(axes, array.shape, strict=True))
        self.frames, self.rows, self.columns = size.get("angle", 1), size.get("row", 1), size["column"]
        if self.frames * self.columns > _MAX_RAYS:
            raise DataError(
                f"{what} claims {self.frames} frames of {self.columns} columns, more than any scan has: "
                "the file is corrupt, or the order of the axes is not the one given."
            )
        self.dtype = array.dtype
        self._array, self.axes = array, axes
        self._lock, self._last = Lock(), -_NEAR - 1
        self._blocks: list[tuple[range, np.ndarray]] = []  # rows that were read last

    def read(self, row: int) -> np.ndarray:
        """One row of all frames, shape (frames, columns), from any thread: one hyperslab of the file.

        Rows that lie in the same chunks are read with it, and so are the next ones where one row after
        another is asked for: few reads of long runs take less time than many of short ones.
        """
        if "row" not in self.axes:
            return self._in_order(self._read(()))
        with self._lock:
            rows, block = self._block_of(row)
            self._last = row
        return self._in_order(block.take(row - rows.start, axis=self.axes.index("row")))

    def _block_of(self, row: int) -> tuple[range, np.ndarray]:
        """Rows that were read together, this one among them."""
        for each in self._blocks:
            if row in each[0]:
                return each
        rows = self._rows_with(row)
        del self._blocks[:-1]  # another thread may be behind by one
        index = tuple(slice(rows.start, rows.stop) if name == "row" else slice(None) for name in self.axes)
        self._blocks.append((rows, self._read(index)))
        return self._blocks[-1]

    def _read(self, index: tuple[slice, ...]) -> np.ndarray:
        try:
            return np.asarray(self._array[index])
        except (FileError, OSError, RuntimeError) as error:  # a chunk that does not unpack, a file cut short
            raise DataError(f"the projections cannot be read: {printable(str(error), 400)}") from error

    def _in_order(self, block: np.ndarray) -> np.ndarray:
        axes = [name for name in self.axes if name != "row"]
        frames = block[None] if "angle" not in axes else block if axes[0] == "angle" else block.T
        return frames[:, ::-1] if self.mirrored else frames

    def _rows_with(self, row: int) -> range:
        """Rows to read at once.

        Those of a chunk, as far as memory allows: each read would unpack the whole chunk. Without chunks this
        one, and where rows around were asked for before, those that follow.
        """
        row_bytes = self.frames * self.columns * self.dtype.itemsize
        few = max(1, _READ_AHEAD // row_bytes)
        chunks = getattr(self._array, "chunks", None)
        if chunks is None:
            return range(row, min(row + few if 0 < row - self._last <= _NEAR else row + 1, self.rows))
        depth, most = chunks[self.axes.index("row")], memory_left() // (_SHARE * row_bytes)
        depth = max(1, min(depth, max(few, most)))
        return range(row // depth * depth, min(row // depth * depth + depth, self.rows))


@dataclass(frozen=True)
class Frames:
    """Some of the frames of a stack: all (``index`` None), or those of the index, in its order."""

    stack: Stack
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return self.stack.frames if self.index is None else len(self.index)

    def read(self, row: int) -> np.ndarray:
        """One row of these frames, shape (len(self), columns)."""
        block = self.stack.read(row)
        return block if self.index is None else block[self.index]

    def ordered(self, order: np.ndarray) -> Frames:
        """Return the same frames in another order."""
        return Frames(self.stack, order if self.index is None else self.index[order])
