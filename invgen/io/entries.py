"""Axes of an array beside those of one scan, such as energies or echoes: an entry of each is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError

__all__ = ["FURTHER_AXES", "SeveralScans", "chosen_entry", "split_axes"]

#: Names of axes along which an array holds several scans.
FURTHER_AXES = ("energy", "echo", "time", "contrast", "phase", "set")


class SeveralScans(ParameterError):
    """An array holds several scans, along an axis of which no entry is chosen.

    Attributes
    ----------
    count : int
        Their number.
    """

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count

    def __reduce__(self) -> tuple[type[SeveralScans], tuple[str, int]]:
        return type(self), (str(self), self.count)


def split_axes(axes: str) -> tuple[str, ...]:
    """Names of axes in lower case, of ``"angle,row,column"`` or ``"theta:y:x"``."""
    return tuple(part.strip().lower() for part in axes.replace(":", ",").split(","))


def chosen_entry(
    array: Any, axes: Sequence[str], index: int | Sequence[int] | None, what: str
) -> tuple[Any, tuple[str, ...]]:
    """Choose the entry of an array along its further axes; an array without any is returned unchanged.

    Parameters
    ----------
    array : array, or anything with ``shape``, ``dtype`` and basic slicing
    axes : sequence of str
        Names of its axes, in lower case.
    index : int, or sequence of int
        Entry along each of the `FURTHER_AXES`, in the order of `axes`; negative numbers count from the end.
    what : str
        What the array is, for messages.

    Returns
    -------
    array, axes
        What is left, read from the array on demand, and the names of its axes.

    Raises
    ------
    SeveralScans
        When there is one such axis, of which no entry is chosen.
    ParameterError
        When there are more such axes and another number of indices, an entry is not there, or an index
        is given and there is no such axis.
    """
    further = [axis for axis, name in enumerate(axes) if name in FURTHER_AXES]
    if len(axes) != len(array.shape):  # which whoever reads the other names refuses
        return array, tuple(axes)
    given = () if index is None else tuple(index) if isinstance(index, Sequence) else (index,)
    if not further and index is None:
        return array, tuple(axes)
    if not further:
        raise ParameterError(
            f"index={index} chooses an entry along {', '.join(FURTHER_AXES)}, and {what} has the axes "
            f"{','.join(axes)} alone; leave it out."
        )
    counts = [array.shape[axis] for axis in further]
    sizes = ", ".join(f"{axes[axis]} has {array.shape[axis]}" for axis in further)
    if len(given) != len(further):
        message = (
            f"{what} holds several scans: its axis {sizes} entries. Choose one, index=... (command line: "
            f"--index), counted from 0{'' if len(further) == 1 else ', one number for each of them'}."
        )
        if len(further) == 1:
            raise SeveralScans(message, counts[0])
        raise ParameterError(message)
    for axis, entry, count in zip(further, given, counts, strict=True):
        if not is_count(entry, count - 1, least=-count):
            raise ParameterError(
                f"there is no entry {entry!r} of the axis {axes[axis]} of {what}: it has {count}, 0 to "
                f"{count - 1}."
            )
    places = {axis: int(entry) % n for axis, entry, n in zip(further, given, counts, strict=True)}
    return _Entry(array, places), tuple(name for name in axes if name not in FURTHER_AXES)


class _Entry:
    """An array at fixed places along some of its axes."""

    def __init__(self, array: Any, places: dict[int, int]):
        self._array, self._places = array, places
        self.shape, self.dtype = self._rest(array.shape), array.dtype
        self.ndim = len(self.shape)
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else self._rest(chunks)

    def _rest(self, lengths: Sequence[int]) -> tuple[int, ...]:
        return tuple(n for axis, n in enumerate(lengths) if axis not in self._places)

    def __getitem__(self, index: Any) -> np.ndarray:
        rest = iter(index if isinstance(index, tuple) else (index,))
        every = range(len(self._array.shape))
        whole = tuple(
            self._places[axis] if axis in self._places else next(rest, slice(None)) for axis in every
        )
        return np.asarray(self._array[whole])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[()], dtype)
