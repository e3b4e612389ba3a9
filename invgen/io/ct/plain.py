"""Plain arrays: HDF5, NPY, MAT and TIFF files that hold numbers and do not say what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invgen.core.errors import FileError, ParameterError
from invgen.core.files import check_regular
from invgen.io.ct.angles import angles_in_radians, dataset_angles, given_angles
from invgen.io.ct.contents import Contents, Options, given_frames
from invgen.io.ct.stack import Frames, Stack, parse_axes
from invgen.io.hdf5 import describe_datasets, get_dataset
from invgen.io.matlab import mat_variable, mat_variables

_Load = Callable[[str], Any]


def read_hdf5(file: h5py.File, options: Options, *, matlab: bool = False) -> Contents:
    """Array of an HDF5 file, by the name of its dataset.

    MATLAB's version 7.3 is HDF5 with the axes reversed; for ``matlab=True`` the order of the axes is
    MATLAB's, the same as for its older files.
    """
    if options.dataset is None:
        raise FileError(
            f"{file.filename} is neither Data Exchange nor NXtomo, nor of fastMRI or ISMRMRD. Say which "
            "array holds the projections, or k-space, and the order of its axes, dataset=... and axes=... "
            "(command line: --dataset, --axes). "
            f"{describe_datasets(file)}"
        )
    kind = "MAT array" if matlab else "HDF5 array"
    return _contents(kind, options.dataset, lambda name: get_dataset(file, name), options, reverse=matlab)


def read_mat(path: Path, options: Options) -> Contents:
    """Array of a MATLAB file of version 5, by the name of its variable (``struct/field`` in a struct)."""
    if options.dataset is None:
        names = ", ".join(f"{name} {shape}" for name, shape in mat_variables(path).items())
        raise FileError(
            f"{path} holds several variables ({names}). Say which holds the projections and the order "
            "of its axes, dataset=... and axes=... (command line: --dataset, --axes)."
        )
    return _contents("MAT array", options.dataset, lambda name: load_mat(path, name), options)


def read_npy(path: Path, options: Options) -> Contents:
    """Array of a NPY file, mapped into memory; other datasets are other NPY files."""
    return _contents("NPY array", str(path), load_npy, options)


def read_tiff(path: Path, options: Options) -> Contents:
    """Pages of a TIFF file; mapped into memory where they are not compressed, else read whole."""
    return _contents("TIFF array", str(path), _load_tiff, options)


def _contents(kind: str, name: str, load: _Load, options: Options, *, reverse: bool = False) -> Contents:
    array = load(name)
    if options.axes is None:
        raise ParameterError(
            f"{name!r} has the shape {array.shape}, which does not tell what its axes are. "
            'Say their order, as in axes="angle,row,column" or axes="column,angle", of k-space as in '
            'axes="coil,y,x" (command line: --axes).'
        )
    if array.dtype.kind not in "uif":
        raise FileError(f"{name!r} should hold real numbers; it holds {array.dtype}.")
    axes = parse_axes(options.axes, array.shape, repr(name))
    if reverse:
        axes = axes[::-1]
    return Contents(
        format=kind,
        dataset=name,
        projections=Frames(Stack(array, axes, repr(name))),
        flats=given_frames(options.flats, load, axes, "flats"),
        darks=given_frames(options.darks, load, axes, "darks"),
        angles=named_angles(load, options),
        counts=False,
    )


def named_angles(load: _Load, options: Options) -> np.ndarray | None:
    """Angles in radians as the caller gives them: numbers, or the name of an array; None without either."""
    if options.angles is not None:
        return given_angles(options)
    if options.angles_dataset is None:
        return None
    array = load(options.angles_dataset)
    if isinstance(array, h5py.Dataset):
        return dataset_angles(array, options)
    return angles_in_radians(array, stated=None, option=options.angle_unit, what=repr(options.angles_dataset))


def load_mat(path: Path, name: str) -> np.ndarray:
    """Read an array of a MATLAB file of version 5: a variable, or ``struct/field``."""
    top, *fields = name.strip("/").split("/")
    value = mat_variable(path, top)
    for field in fields:
        if not isinstance(value, dict) or field not in value:
            raise FileError(f"{path} has no array {name!r}; leave out the dataset to see what is there.")
        value = value[field]
    if isinstance(value, dict):
        names = ", ".join(f"{name}/{field}" for field in value)
        raise FileError(f"{name!r} is a struct; name one of its fields: {names}.")
    if not isinstance(value, np.ndarray):
        kind = "a text" if isinstance(value, str) else "a cell or an object"
        raise FileError(f"{name!r} should hold real numbers; it is {kind}.")
    return value


def load_npy(name: str) -> np.ndarray:
    """Map the array of a NPY file into memory."""
    path = Path(name)
    check_regular(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a header is parsed as a literal: SyntaxError, ValueError, MemoryError, ...
        if "Object arrays" in str(error) or "object" in str(error):
            raise FileError(
                f"{path} holds pickled Python objects, which are never executed; save plain numbers."
            ) from error
        raise _damaged(path, "a NPY file", error) from error


def _load_tiff(name: str) -> np.ndarray:
    import tifffile

    path = Path(name)
    check_regular(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.size * series.dtype.itemsize > 64 * max(path.stat().st_size, 2**20):
                raise FileError(f"{path} claims an absurd shape, {series.shape}, for a file of its size.")
            if series.dataoffset is not None:
                return tifffile.memmap(path, mode="r")
            return series.asarray()
    except FileError:
        raise
    except Exception as error:  # its parser raises what it runs into
        raise _damaged(path, "a TIFF file", error) from error


def _damaged(path: Path, kind: str, error: Exception) -> FileError:
    return FileError(f"{path} cannot be read as {kind}, it is damaged: {error}")
