"""k-space in plain arrays: HDF5, NPY and MAT files that hold numbers and do not say what they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from invgen.errors import DataError, FileError, ParameterError
from invgen.io.hdf5 import find_object, get_dataset
from invgen.io.kspace.contents import Contents, KSpace, check_size, read_block, samples_of
from invgen.io.kspace.oversampling import remove_oversampling
from invgen.io.kspace.trajectory import Unit, cycles_per_pixel, default_matrix
from invgen.io.matlab import mat_variables
from invgen.io.plain import load_mat, load_npy

_NAMES = {
    **{name: name for name in ("slice", "repetition", "coil", "z", "y", "x", "sample", "shot", "complex")},
    "channel": "coil",
    "spoke": "shot",
}
_GRIDS = (("y", "x"), ("z", "y", "x"), ("shot", "sample"), ("sample",))


@dataclass(frozen=True)
class ArrayOptions:
    """What the caller of `open_scan` says about k-space in an array."""

    dataset: str | None = None
    axes: str | None = None
    trajectory: Any = None
    trajectory_unit: Unit | None = None
    field_of_view: Any = None  # m: a number, or one for each axis of the image
    matrix: tuple[int, ...] | None = None
    mask: Any = None
    remove_oversampling: str | None = None

    def given(self) -> list[str]:
        """Options that only k-space in arrays has, and that were given."""
        names = ("trajectory", "trajectory_unit", "field_of_view", "matrix", "mask", "remove_oversampling")
        return [name for name in names if getattr(self, name) is not None]


def names_kspace(axes: str) -> bool:
    """Whether an order of axes is one of k-space: projections have neither coils nor slices, but angles."""
    names = _split(axes)
    return bool(set(names) & (_NAMES.keys() - {"x", "y"})) or set(names) == {"x", "y"}


def _split(axes: str) -> list[str]:
    return [part.strip().lower() for part in axes.replace(":", ",").split(",")]


def read_hdf5(file: h5py.File, options: ArrayOptions, *, matlab: bool = False) -> Contents:
    """k-space of an HDF5 file; of MATLAB's version 7.3 with the axes as MATLAB shows them."""

    def load(name: str) -> Any:
        if find_object(file, name) is None and Path(name).is_file():
            return _load_file(name)
        dataset = get_dataset(file, name)
        return _Reversed(dataset) if matlab else dataset

    if options.dataset is None:
        raise ParameterError(
            f"{file.filename}: say which array holds k-space, dataset=... (command line: --dataset)."
        )
    return _read(options.dataset, load, options)


def read_npy(path: Path, options: ArrayOptions) -> Contents:
    """k-space of a NPY file, mapped into memory."""
    return _read(str(path), _load_file, options)


def read_mat(path: Path, options: ArrayOptions) -> Contents:
    """k-space of a MATLAB file of version 5: a variable, or ``struct/field``."""
    name = options.dataset or _only_variable(path)

    def load(name: str) -> Any:
        return (
            _load_file(name)
            if name not in mat_variables(path) and Path(name).is_file()
            else load_mat(path, name)
        )

    return _read(name, load, options)


def _only_variable(path: Path) -> str:
    variables = mat_variables(path)
    if len(variables) != 1:
        names = ", ".join(f"{name} {shape}" for name, shape in variables.items())
        raise FileError(f"{path} holds several variables ({names}); name one (command line: --dataset).")
    return next(iter(variables))


def _load_file(name: str) -> np.ndarray:
    """The array of a NPY file, or the only one of a MATLAB file of version 5."""
    path = Path(name)
    return load_mat(path, _only_variable(path)) if path.suffix == ".mat" else load_npy(name)


class _Reversed:
    """An array of an HDF5 file that MATLAB wrote, its axes in MATLAB's order."""

    def __init__(self, dataset: h5py.Dataset):
        self._dataset, self.shape, self.dtype = dataset, dataset.shape[::-1], dataset.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        return np.asarray(self._dataset[index[::-1]]).T


@dataclass(frozen=True)
class _Array:
    """An array with names for its axes, of which a slice is read at a time."""

    array: Any
    axes: tuple[str, ...]
    what: str

    @property
    def size(self) -> dict[str, int]:
        return dict(zip(self.axes, self.array.shape, strict=True))

    @property
    def grid(self) -> tuple[str, ...]:
        return next(
            grid for grid in _GRIDS if set(grid) == set(self.axes) & {name for g in _GRIDS for name in g}
        )

    def read(self, slice_: int, repetition: int) -> torch.Tensor:
        """Samples of a slice, shape (coils, *grid)."""
        chosen = {"slice": slice_, "repetition": repetition}
        index = tuple(chosen.get(name, slice(None)) for name in self.axes)
        block = read_block(self.array, index, self.what)
        axes = [name for name in self.axes if name not in chosen]
        if "complex" in axes:
            real, imaginary = np.moveaxis(block, axes.index("complex"), 0)
            axes.remove("complex")
            block = real + 1j * imaginary
        elif block.dtype.names:
            real, imaginary = (block[name] for name in block.dtype.names)
            block = real + 1j * imaginary
        order = [axes.index(name) for name in ("coil", *self.grid) if name in axes]
        block = block.transpose(order)
        return samples_of(block if "coil" in axes else block[None], self.what)


def _read(name: str, load: Callable[[str], Any], options: ArrayOptions) -> Contents:
    array = _checked(load(name), options.axes or "", repr(name))
    size = array.size
    samples = tuple(size[axis] for axis in array.grid)
    check_size(size.get("coil", 1), math.prod(samples), array.what)
    common: dict[str, Any] = {
        "format": "kspace",
        "dataset": name,
        "slices": size.get("slice", 1),
        "coils": size.get("coil", 1),
        "dtype": array.array.dtype,
        "frames": tuple(f"repetition {i}" for i in range(size.get("repetition", 1))),
    }
    if "sample" in array.grid:
        return _along_trajectory(array, load, options, common)
    if options.trajectory is not None or options.trajectory_unit is not None or options.matrix is not None:
        raise ParameterError(
            f"axes={options.axes!r} is a Cartesian grid, which has no trajectory and no other matrix; "
            'samples along a trajectory have the axes "coil,shot,sample".'
        )
    return _cartesian(array, samples, load, options, common)


def _checked(array: Any, axes: str, what: str) -> _Array:
    """The array with its axes, which must be k-space's, and numbers that are complex."""
    names = tuple(_NAMES.get(name, name) for name in _split(axes))
    shape = tuple(array.shape or ())
    grid = set(names) & {name for g in _GRIDS for name in g}
    allowed = set(_NAMES.values())
    if len(names) != len(shape) or len(set(names)) != len(names) or not set(names) <= allowed:
        raise ParameterError(
            f"axes={axes!r} does not fit {what}, which has {len(shape)} axes of lengths {shape}. Name each "
            f"once, in the order of the file: of {', '.join(sorted(allowed))} (command line: --axes)."
        )
    if grid not in [set(g) for g in _GRIDS]:
        raise ParameterError(
            f"axes={axes!r} is no k-space: it has y,x, or z,y,x for a volume, or sample and perhaps shot "
            'along a trajectory, as in "coil,y,x" and "sample,shot,coil" (command line: --axes).'
        )
    if "z" in names and "slice" in names:
        raise ParameterError(f"axes={axes!r}: z is encoded and slice is not; a volume has no slices.")
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
    elif dtype.names:
        kinds = {dtype[name].kind for name in dtype.names}
        if len(dtype.names) != 2 or not dtype.names[0].lower().startswith("r") or not kinds <= set("uif"):
            raise DataError(f"{what} should hold complex numbers (real, imag); it holds {dtype}.")
    elif dtype.kind != "c":
        raise DataError(
            f"{what} holds {dtype}, and k-space is complex. If real and imaginary parts lie along an axis of "
            'length 2, name it complex, as in axes="coil,y,x,complex".'
        )
    return _Array(array, names, what)


def _cartesian(
    array: _Array,
    shape: tuple[int, ...],
    load: Callable[[str], Any],
    options: ArrayOptions,
    common: dict[str, Any],
) -> Contents:
    readout, wanted = options.remove_oversampling, list(shape)
    axis = 0
    if readout is not None:
        if readout not in array.grid:
            raise ParameterError(
                f"remove_oversampling={readout!r} should be the axis of the readout, one of "
                f"{', '.join(array.grid)}."
            )
        axis = array.grid.index(readout) - len(shape)
        if shape[axis] < 2:
            raise DataError(f"the axis {readout} has {shape[axis]} samples; there is no oversampling.")
        wanted[axis] = shape[axis] // 2
    given = None if options.mask is None else _mask(array, shape, load, options.mask)

    def read(slice: int, repetition: int) -> KSpace:
        data = array.read(slice, repetition)
        kspace = _masked(data, given, f"{array.what}, slice {slice}, repetition {repetition}")
        return kspace if readout is None else remove_oversampling(kspace, axis, wanted[axis])

    return Contents(
        trajectory="cartesian",
        encoded_shape=shape,
        image_shape=tuple(wanted),
        read=read,
        pixel_size=_pixel_size(options.field_of_view, tuple(wanted)),
        oversampling=1.0 if readout is None else shape[axis] / wanted[axis],
        **common,
    )


def _masked(data: torch.Tensor, given: torch.Tensor | None, what: str) -> KSpace:
    filled = (data != 0).any(dim=0)
    mask = filled if given is None else given.expand(data.shape[1:])
    if not bool(filled[mask].any()):
        raise DataError(f"{what} has no sample that is not zero: it was not measured.")
    report = [f"{int(mask.sum())} of {mask.numel()} positions are sampled"]
    outside = int((filled & ~mask).sum())
    if outside:
        report.append(f"{outside} positions that are not zero are left out by the mask")
    return KSpace(data * mask, tuple(data.shape[1:]), mask=mask, report=tuple(report))


def _mask(array: _Array, shape: tuple[int, ...], load: Callable[[str], Any], given: Any) -> torch.Tensor:
    """A mask whose axes are in the order of the file, or that has one entry for each column."""
    mask = load(given) if isinstance(given, str) else np.asarray(given)
    if mask.dtype.kind not in "uifb":
        raise DataError(f"the mask should hold real numbers; it holds {mask.dtype}.")
    stored = tuple(name for name in array.axes if name in array.grid)
    own = tuple(mask.shape)
    if own not in (tuple(array.size[name] for name in stored), shape[-1:]):
        raise DataError(
            f"the mask has the shape {own}; k-space has {','.join(stored)} of "
            f"{tuple(array.size[name] for name in stored)}. Give one entry for each position, in that order, "
            f"or for each of the {shape[-1]} columns."
        )
    values = read_block(mask, (slice(None),) * len(own), "the mask") != 0
    if len(own) > 1:
        values = values.transpose([stored.index(name) for name in array.grid])
    if not values.any():
        raise DataError("the mask samples nothing: it is zero everywhere.")
    return torch.from_numpy(np.ascontiguousarray(values))


def _along_trajectory(
    array: _Array, load: Callable[[str], Any], options: ArrayOptions, common: dict[str, Any]
) -> Contents:
    if options.trajectory is None:
        raise ParameterError(
            f"axes={options.axes!r} has samples along a trajectory, and it is not given: trajectory=..., the "
            "name of an array or of a NPY or MAT file (command line: --trajectory)."
        )
    if options.mask is not None or options.remove_oversampling is not None:
        raise ParameterError("mask and remove_oversampling are for Cartesian k-space, not for trajectories.")
    k = _trajectory(array, load, options.trajectory)
    unit = options.trajectory_unit or "cycles/pixel"
    matrix = options.matrix
    notes: tuple[str, ...] = ()
    if matrix is None:
        matrix, note = default_matrix(k, unit, options.field_of_view)
        notes = (note,)
    matrix = tuple(int(n) for n in matrix)
    if len(matrix) != k.shape[-1] or min(matrix) < 1:
        raise ParameterError(
            f"matrix={matrix} should have a positive size for each of the trajectory's {k.shape[-1]} axes."
        )
    check_size(array.size.get("coil", 1), math.prod(matrix), "matrix")
    k = cycles_per_pixel(k, unit, matrix, options.field_of_view)

    def read(slice: int, repetition: int) -> KSpace:
        data = array.read(slice, repetition)
        return KSpace(data, matrix, trajectory=k, report=(f"{k[..., 0].numel()} samples along a trajectory",))

    return Contents(
        trajectory="non-cartesian",
        encoded_shape=matrix,
        image_shape=matrix,
        read=read,
        pixel_size=_pixel_size(options.field_of_view, matrix),
        notes=notes,
        **common,
    )


def _trajectory(array: _Array, load: Callable[[str], Any], given: Any) -> torch.Tensor:
    """Trajectory as float64, shape (*grid, 2 or 3), its last axis in the order of the image's axes."""
    what = f"the trajectory {given!r}" if isinstance(given, str) else "the trajectory"
    loaded = load(given) if isinstance(given, str) else given
    stored = tuple(name for name in array.axes if name in array.grid)
    shape = tuple(array.size[name] for name in stored)
    own = tuple(getattr(loaded, "shape", ()))
    if own not in (shape, *((*shape, d) for d in (2, 3)), *((d, *shape) for d in (2, 3))):
        raise DataError(
            f"{what} has the shape {own}; k-space has {','.join(stored)} of {shape}. Give complex kx + i ky "
            "of that shape, or (kx, ky) or (kx, ky, kz) along one more axis, the last or the first."
        )
    values = read_block(loaded, (slice(None),) * len(own), what)
    if own == shape:
        if values.dtype.kind != "c":
            raise DataError(
                f"{what} has one number for each sample, and they are {values.dtype}, not complex."
            )
        values = np.stack([values.real, values.imag], axis=-1)
    elif values.dtype.kind not in "uif":
        raise DataError(f"{what} should hold real numbers (kx, ky); it holds {values.dtype}.")
    elif own[:-1] != shape:
        values = np.moveaxis(values, 0, -1)
    values = values.transpose([*(stored.index(name) for name in array.grid), len(stored)])
    if not np.isfinite(values).all():
        raise DataError(f"{what} holds NaN or infinite numbers.")
    return torch.from_numpy(np.ascontiguousarray(values[..., ::-1], dtype=np.float64))


def _pixel_size(field_of_view: Any, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """In mm, from a field of view in m."""
    if field_of_view is None:
        return None
    lengths = np.broadcast_to(np.asarray(field_of_view, dtype=np.float64), (len(shape),))
    return tuple(float(1000 * length / n) for length, n in zip(lengths, shape, strict=True))
