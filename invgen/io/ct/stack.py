"""Detector frames in a file, read one slice at a time, whatever the order of the axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.io.entries import split_axes

__all__ = ["Frames", "Stack", "parse_axes"]

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
            f"axes={axes!r} does not fit {what}, which has {len(shape)} axes of lengths {shape}. "
            f"Name each of {', '.join(sorted(expected))} once, in the order of the file, "
            f'as in "{"angle,column" if len(shape) == 2 else "angle,row,column"}" (command line: --axes).'
        )
    return names


def _check_shape(shape: tuple[int, ...], what: str) -> None:
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(
            f"{what} should be a stack of frames (2 or 3 axes, none empty); its shape is {tuple(shape)}."
        )


class Stack:
    """Frames ``(angle, row, column)`` behind an array that is read on demand.

    Parameters
    ----------
    array : h5py.Dataset, memory map or array, two or three axes
        Anything with ``shape``, ``dtype`` and basic slicing.
    axes : tuple of str
        The names of its axes, from `parse_axes`.
    what : str
        What the array is, for messages.
    """

    def __init__(self, array: Any, axes: tuple[str, ...], what: str):
        if array.dtype.kind not in "uif":
            raise DataError(f"{what} should hold real numbers; it holds {array.dtype}.")
        _check_shape(array.shape, what)
        size = dict(zip(axes, array.shape, strict=True))
        self.frames, self.rows, self.columns = size["angle"], size.get("row", 1), size["column"]
        if self.frames * self.columns > _MAX_RAYS:
            raise DataError(
                f"{what} claims {self.frames} frames of {self.columns} columns, more than any scan has: "
                "the file is corrupt, or the order of the axes is not the one given."
            )
        self.dtype = array.dtype
        self._array, self.axes = array, axes
        self._block: tuple[int, np.ndarray] | None = None  # the rows read last, and the first of them

    def read(self, row: int) -> np.ndarray:
        """One row of all frames, shape (frames, columns): one hyperslab of the file."""
        if "row" not in self.axes:
            return self._in_order(self._read(()))
        depth = self._rows_per_read()
        start = row // depth * depth
        if self._block is None or self._block[0] != start:
            index = tuple(slice(start, start + depth) if name == "row" else slice(None) for name in self.axes)
            self._block = start, self._read(index)
        return self._in_order(self._block[1].take(row - start, axis=self.axes.index("row")))

    def _read(self, index: tuple[slice, ...]) -> np.ndarray:
        try:
            return np.asarray(self._array[index])
        except (OSError, RuntimeError) as error:  # a chunk that does not decompress, a file cut short
            raise DataError(f"the projections cannot be read, the file is damaged: {error}") from error

    def _in_order(self, block: np.ndarray) -> np.ndarray:
        axes = [name for name in self.axes if name != "row"]
        return block if axes[0] == "angle" else block.T

    def _rows_per_read(self) -> int:
        """Rows of one chunk, as far as memory allows: each read of a row would unpack the whole chunk."""
        chunks = getattr(self._array, "chunks", None)
        if chunks is None:
            return 1
        row_bytes = self.frames * self.columns * self.dtype.itemsize
        return max(1, min(chunks[self.axes.index("row")], _READ_AHEAD // row_bytes))


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
