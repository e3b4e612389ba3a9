"""Projections in plain arrays: HDF5, NPY, MAT and TIFF files, whose contents the caller describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from invgen.core.errors import FileError, ParameterError
from invgen.io.ct.angles import named_angles
from invgen.io.ct.contents import Contents, given_frames
from invgen.io.ct.stack import Frames, Stack, parse_axes
from invgen.io.entries import chosen_entry, split_axes
from invgen.io.hdf5 import describe_datasets
from invgen.io.matlab import mat_variables
from invgen.io.options import Options
from invgen.io.source import Source

__all__ = ["read"]


def read(source: Source, options: Options) -> Contents:
    """Read an array of projections, by its name and the order of its axes.

    Of MATLAB files it is the order that MATLAB shows, of every version.

    Raises
    ------
    FileError
        When the array is not named or not there, or holds no real numbers.
    ParameterError
        When the order of its axes is not stated, or does not fit.
    """
    name = _name(source, options)
    array: Any = source.array(name)
    if options.axes is None:
        raise ParameterError(
            f"{name!r} has the shape {array.shape}, from which the meaning of its axes cannot be inferred. "
            'Give their order, as in axes="angle,row,column" or axes="column,angle", of k-space as in '
            'axes="coil,y,x" (command line: --axes).'
        )
    if array.dtype.kind not in "uif":
        raise FileError(f"{name!r} should hold real numbers; it holds {array.dtype}.")
    named, index = split_axes(options.axes), options.index
    if source.is_reversed:
        named, index = named[::-1], index[::-1] if isinstance(index, Sequence) else index
    array, named = chosen_entry(array, named, index, repr(name))
    axes = parse_axes(",".join(named), array.shape, repr(name))
    return Contents(
        format=f"{source.container.upper()} array",
        dataset=name,
        projections=Frames(Stack(array, axes, repr(name))),
        flats=given_frames(options.flats, source.array, axes, "flats"),
        darks=given_frames(options.darks, source.array, axes, "darks"),
        angles=named_angles(source.array, options),
        counts=False,
    )


def _name(source: Source, options: Options) -> str:
    """Name of the array, which only files of one array do not need."""
    if source.container in ("npy", "tiff"):
        return str(source.path)
    if options.dataset is not None:
        return options.dataset
    if source.is_hdf5:
        raise FileError(
            f"{source.path} is neither Data Exchange nor NXtomo, nor of fastMRI or ISMRMRD. Name the array "
            "of projections or k-space and give the order of its axes, dataset=... and axes=... (command "
            f"line: --dataset, --axes). {describe_datasets(source.hdf5)}"
        )
    names = ", ".join(f"{name} {shape}" for name, shape in mat_variables(source.path).items())
    raise FileError(
        f"{source.path} holds several variables ({names}). Name the one of projections and give the order of "
        "its axes, dataset=... and axes=... (command line: --dataset, --axes)."
    )
