"""k-space in plain arrays: HDF5, NPY and MAT files that hold numbers and do not say what they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invgen.core.errors import FileError, ParameterError
from invgen.io.ct.plain import load_mat, load_npy
from invgen.io.hdf5 import find_object, get_dataset
from invgen.io.matlab import mat_variables
from invgen.io.mri.array_grid import ArrayGrid
from invgen.io.mri.array_path import ArrayPath
from invgen.io.mri.contents import Contents, check_size
from invgen.io.mri.named import named
from invgen.io.mri.trajectory import Unit


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
        other = name not in mat_variables(path) and Path(name).is_file()
        return _load_file(name) if other else load_mat(path, name)

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


def _read(name: str, load: Callable[[str], Any], options: ArrayOptions) -> Contents:
    def given(array: Any) -> Any:
        return load(array) if isinstance(array, str) else np.asarray(array)

    array = named(load(name), options.axes or "", repr(name))
    coils = array.size.get("coil", 1)
    check_size(coils, math.prod(array.samples), array.what)
    _check(options, "sample" in array.grid)
    reader: ArrayGrid | ArrayPath
    if "sample" in array.grid:
        reader = ArrayPath(
            array,
            given(options.trajectory),
            options.trajectory_unit or "cycles/pixel",
            options.matrix,
            options.field_of_view,
        )
    else:
        mask = None if options.mask is None else given(options.mask)
        reader = ArrayGrid(array, mask, options.remove_oversampling)
    cartesian = isinstance(reader, ArrayGrid)
    return Contents(
        format="kspace",
        dataset=name,
        slices=array.size.get("slice", 1),
        coils=coils,
        trajectory="cartesian" if cartesian else "non-cartesian",
        encoded_shape=array.samples if cartesian else reader.image_shape,
        image_shape=reader.image_shape,
        dtype=array.array.dtype,
        read=reader.read,
        frames=tuple(f"repetition {i}" for i in range(array.size.get("repetition", 1))),
        pixel_size=_pixel_size(options.field_of_view, reader.image_shape),
        oversampling=reader.oversampling,
        notes=reader.notes,
    )


def _check(options: ArrayOptions, path: bool) -> None:
    """Refuse what only makes sense of the other kind of k-space."""
    if not path and (options.trajectory is not None or options.trajectory_unit or options.matrix is not None):
        raise ParameterError(
            f"axes={options.axes!r} is a Cartesian grid, which has no trajectory and no other matrix; "
            'samples along a trajectory have the axes "coil,shot,sample".'
        )
    if path and options.trajectory is None:
        raise ParameterError(
            f"axes={options.axes!r} has samples along a trajectory, and it is not given: trajectory=..., the "
            "name of an array or of a NPY or MAT file (command line: --trajectory)."
        )
    if path and (options.mask is not None or options.remove_oversampling is not None):
        raise ParameterError("mask and remove_oversampling are for Cartesian k-space, not for trajectories.")


def _pixel_size(field_of_view: Any, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """In mm, from a field of view in m."""
    if field_of_view is None:
        return None
    try:
        lengths = np.broadcast_to(np.asarray(field_of_view, dtype=np.float64), (len(shape),))
    except (ValueError, TypeError):
        lengths = np.zeros(len(shape))
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ParameterError(
            f"field_of_view is a positive length in m, or one for each of {len(shape)} axes; "
            f"got {field_of_view!r}."
        )
    return tuple(float(1000 * length / n) for length, n in zip(lengths, shape, strict=True))
