"""k-space in plain arrays: HDF5, NPY and MAT files, whose contents the caller describes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from invgen.core.errors import FileError, ParameterError
from invgen.io.arrays import load_mat, load_npy
from invgen.io.entries import chosen_entry, split_axes
from invgen.io.hdf5 import Dataset
from invgen.io.matlab import mat_variables
from invgen.io.mri.array_grid import ArrayGrid
from invgen.io.mri.array_path import ArrayPath
from invgen.io.mri.cfl import data_file, load_cfl
from invgen.io.mri.contents import Contents, check_size
from invgen.io.mri.named import NamedArray, named
from invgen.io.options import Options, TrajectoryUnit
from invgen.io.source import Source

__all__ = ["contents_of", "load_file", "read"]

#: What the caller can state about k-space in arrays, beside the array and its axes.
_OPTIONS = (
    "trajectory",
    "trajectory_unit",
    "field_of_view",
    "matrix",
    "mask",
    "remove_oversampling",
    "kspace_center",
    "image_center",
    "index",
)


def read(source: Source, options: Options) -> Contents:
    """Read an array of k-space, by its name and the order of its axes; in MATLAB files as MATLAB shows them.

    Mask and trajectory are other arrays of the file, or other files.

    Raises
    ------
    FileError
        When the array is not there, or the file cannot hold k-space.
    DataError, ParameterError
        When what the caller states does not fit it.
    """

    def load(name: str) -> Any:
        if source.container == "npy" or (not source.holds(name) and Path(name).is_file()):
            return load_file(name)
        array = source.array(name)
        return _Reversed(array) if source.is_reversed else array

    def given(array: Any) -> Any:
        return load(array) if isinstance(array, str) else np.asarray(array)

    name = _name(source, options)
    entry, axes = chosen_entry(load(name), split_axes(options.axes or ""), options.index, repr(name))
    array = named(entry, ",".join(axes), repr(name))
    return contents_of(array, options, given, dataset=name)


def contents_of(
    array: NamedArray,
    options: Options,
    given: Callable[[Any], Any],
    *,
    dataset: str = "",
    format: str = "kspace",
    unit: TrajectoryUnit = "cycles/pixel",
) -> Contents:
    """Make a scan of k-space whose axes are named.

    Parameters
    ----------
    array : NamedArray
    options : Options
    given : callable
        Makes of a trajectory or a mask, a name or numbers, the array that `ArrayPath` or `ArrayGrid` takes.
    dataset, format : str
        What it is called.
    unit : str
        Of the trajectory, where the caller states none.
    """
    _check(options, array)
    coils = array.size.get("coil", 1)
    check_size(coils, math.prod(array.samples), array.what)
    reader: ArrayGrid | ArrayPath
    field_of_view = options.field_of_view
    if "sample" in array.grid:
        reader = ArrayPath(
            array,
            given(options.trajectory),
            options.trajectory_unit or unit,
            options.matrix,
            field_of_view,
        )
        field_of_view = reader.field_of_view
    else:
        mask = None if options.mask is None else given(options.mask)
        reader = ArrayGrid(
            array, mask, options.remove_oversampling, options.kspace_center, options.image_center
        )
    cartesian = isinstance(reader, ArrayGrid)
    return Contents(
        format=format,
        dataset=dataset,
        slices=array.size.get("slice", 1),
        coils=coils,
        trajectory="cartesian" if cartesian else "non-cartesian",
        encoded_shape=reader.origin.grid if isinstance(reader, ArrayGrid) else reader.image_shape,
        image_shape=reader.image_shape,
        dtype=array.array.dtype,
        read=reader.read,
        frames=tuple(f"repetition {i}" for i in range(array.size.get("repetition", 1))),
        pixel_size=_pixel_size(field_of_view, reader.image_shape),
        oversampling=reader.oversampling,
        notes=reader.notes,
        contradictions=reader.origin.found if isinstance(reader, ArrayGrid) else (),
        options=_OPTIONS,
    )


def _name(source: Source, options: Options) -> str:
    """Name of the array, which a file of only one does not need."""
    if source.container == "tiff":
        raise FileError(f"{source.path}: TIFF has no complex numbers; save k-space as NPY, HDF5 or MAT.")
    if source.container == "npy":
        return str(source.path)
    if source.is_hdf5 and options.dataset is None:
        raise ParameterError(
            f"{source.path}: name the array that holds k-space, dataset=... (command line: --dataset)."
        )
    return options.dataset or _only_variable(source.path)


def _only_variable(path: Path) -> str:
    variables = mat_variables(path)
    if len(variables) != 1:
        names = ", ".join(f"{name} {shape}" for name, shape in variables.items())
        raise FileError(f"{path} holds several variables ({names}); name one (command line: --dataset).")
    return next(iter(variables))


def load_file(name: str) -> np.ndarray:
    """Load the array of a NPY file or of a pair of BART, or the only one of a MATLAB file of version 5."""
    path = data_file(Path(name))
    if path.suffix == ".cfl":
        return load_cfl(path)
    return load_mat(path, _only_variable(path)) if path.suffix == ".mat" else load_npy(path)


class _Reversed:
    """An array of an HDF5 file that MATLAB wrote, its axes in MATLAB's order."""

    def __init__(self, dataset: Dataset):
        self._dataset, self.shape, self.dtype = dataset, dataset.shape[::-1], dataset.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        return np.asarray(self._dataset[index[::-1]]).T


def _check(options: Options, array: NamedArray) -> None:
    """Refuse what applies to the other kind of k-space only."""
    path, axes = "sample" in array.grid, ",".join(array.axes)
    if not path and (options.trajectory is not None or options.trajectory_unit or options.matrix is not None):
        raise ParameterError(
            f'axes="{axes}" is a Cartesian grid, which has no trajectory and no other matrix; '
            'samples along a trajectory have the axes "coil,shot,sample".'
        )
    if path and options.trajectory is None:
        raise ParameterError(
            f'axes="{axes}" has samples along a trajectory, and it is not given: trajectory=..., the '
            "name of an array or of a NPY or MAT file (command line: --trajectory)."
        )
    of_grids = ("mask", "remove_oversampling", "kspace_center", "image_center")
    if path and any(getattr(options, name) is not None for name in of_grids):
        raise ParameterError(f"{', '.join(of_grids)} are for Cartesian k-space, not for trajectories.")


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
