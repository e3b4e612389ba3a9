"""Arrays of k-space with named axes, read slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invgen.core.errors import DataError, ParameterError
from invgen.io.entries import FURTHER_AXES, split_axes
from invgen.io.mri.contents import read_block, samples_of

__all__ = ["NamedArray", "is_pair", "joined", "named", "names_kspace"]

_NAMES = {
    **{name: name for name in ("slice", "repetition", "coil", "z", "y", "x", "sample", "shot", "complex")},
    "channel": "coil",
    "spoke": "shot",
}
_GRIDS = (("y", "x"), ("z", "y", "x"), ("shot", "sample"), ("sample",))
_ON_GRID = {name for grid in _GRIDS for name in grid}


def names_kspace(order: str) -> bool:
    """Whether an order of axes is one of k-space; projections have angles, and neither coils nor slices."""
    names = set(split_axes(order)) - set(FURTHER_AXES)
    return bool(names & (_NAMES.keys() - {"x", "y"})) or names == {"x", "y"}


@dataclass(frozen=True)
class NamedArray:
    """An array in a file and its axes, from `named`."""

    array: Any
    axes: tuple[str, ...]
    what: str

    @property
    def size(self) -> dict[str, int]:
        """Length of each axis."""
        return dict(zip(self.axes, self.array.shape, strict=True))

    @property
    def stored(self) -> tuple[str, ...]:
        """Axes of the samples, in the order of the file."""
        return tuple(name for name in self.axes if name in _ON_GRID)

    @property
    def grid(self) -> tuple[str, ...]:
        """Axes of the samples, in the order of k-space."""
        return next(grid for grid in _GRIDS if set(grid) == set(self.stored))

    @property
    def samples(self) -> tuple[int, ...]:
        """Lengths of `grid`."""
        return tuple(self.size[name] for name in self.grid)

    def ordered(self, values: np.ndarray) -> np.ndarray:
        """Reorder numbers for each sample from the order of the file to that of `grid`; further axes stay."""
        places = [self.stored.index(name) for name in self.grid]
        return values.transpose([*places, *range(len(places), values.ndim)])

    def read(self, slice_: int, repetition: int) -> torch.Tensor:
        """Samples of a slice, shape (coils, *samples)."""
        chosen = {"slice": slice_, "repetition": repetition}
        block = read_block(self.array, tuple(chosen.get(name, slice(None)) for name in self.axes), self.what)
        axes = [name for name in self.axes if name not in chosen]
        if "complex" in axes:
            block = _complex(*np.moveaxis(block, axes.index("complex"), 0))
            axes.remove("complex")
        else:
            block = joined(block)
        block = block.transpose([axes.index(name) for name in ("coil", *self.grid) if name in axes])
        names = tuple(f"k{name}" if name in "xyz" else name for name in ("coil", *self.grid))
        return samples_of(block if "coil" in axes else block[None], f"{self.what}, slice {slice_},", names)


def joined(block: np.ndarray) -> np.ndarray:
    """Join compounds of real and imaginary part to complex numbers; anything else is returned unchanged."""
    if not is_pair(block.dtype):
        return block
    return _complex(*(block[name] for name in block.dtype.names or ()))


def is_pair(dtype: np.dtype) -> bool:
    """Whether numbers are compounds of a real and an imaginary part."""
    names = dtype.names or ()
    return len(names) == 2 and names[0].lower()[:1] == "r" and all(dtype[n].kind in "uif" for n in names)


def _complex(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    result = np.empty(real.shape, np.result_type(real.dtype, imaginary.dtype, np.complex64))
    result.real, result.imag = real, imaginary
    return result


def named(array: Any, order: str, what: str) -> NamedArray:
    """Name the axes of an array of k-space, which is complex.

    Raises
    ------
    ParameterError
        When the names do not fit the array, or are not those of k-space.
    DataError
        When the numbers are not complex, or the array is empty.
    """
    names = tuple(_NAMES.get(name, name) for name in split_axes(order))
    shape = tuple(array.shape or ())
    grid = set(names) & _ON_GRID
    allowed = set(_NAMES.values())
    if len(names) != len(shape) or len(set(names)) != len(names) or not set(names) <= allowed:
        raise ParameterError(
            f"axes={order!r} does not fit {what}, which has {len(shape)} axes of lengths {shape}. Name each "
            f"once, in the order of the file: of {', '.join(sorted(allowed))} (command line: --axes)."
        )
    if grid not in [set(g) for g in _GRIDS]:
        raise ParameterError(
            f"axes={order!r} is no k-space: it has y,x, or z,y,x for a volume, or sample and perhaps shot "
            'along a trajectory, as in "coil,y,x" and "sample,shot,coil" (command line: --axes).'
        )
    if "z" in names and "slice" in names:
        raise ParameterError(f"axes={order!r}: z is encoded and slice is not; a volume has no slices.")
    if 0 in shape:
        raise DataError(f"{what} is empty: its shape is {shape}.")
    dtype = array.dtype
    if "complex" in names:
        parts = shape[names.index("complex")]
        if parts != 2 or dtype.kind not in "uif":
            raise DataError(
                f"the axis complex of {what} should hold two real numbers, the real and the imaginary part; "
                f"it holds {parts} of {dtype}."
            )
    elif dtype.kind != "c" and not is_pair(dtype):
        raise DataError(
            f"{what} holds {dtype}, and k-space is complex. If real and imaginary parts lie along an axis of "
            'length 2, name it complex, as in axes="coil,y,x,complex".'
        )
    return NamedArray(array, names, what)
