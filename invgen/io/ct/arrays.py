"""Projections in plain arrays: HDF5, NPY, MAT and TIFF files, whose contents the caller describes."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from typing import Any

from invgen.core.errors import FileError, ParameterError
from invgen.core.text import brief
from invgen.io.ct.contents import Contents
from invgen.io.ct.given import given_angles, given_frames
from invgen.io.ct.stack import Frames, stacked
from invgen.io.entries import split_axes
from invgen.io.hdf5 import describe_datasets
from invgen.io.matlab import describe_variables
from invgen.io.options import Options
from invgen.io.source import Source
from invgen.io.tiffs import series_name

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
    array: Any = source.array(None if source.container in ("npy", "tiff") else name)
    axes, notes = options.axes, tuple[str, ...]()
    if axes is None and source.is_series:
        axes = "angle,row,column"
        notes = ("each file of the series is taken as a projection; --axes row,angle,column says a sinogram",)
    if axes is None:
        raise ParameterError(
            f"{name!r} has the shape {array.shape}, from which the meaning of its axes cannot be inferred. "
            'Give their order, as in axes="angle,row,column" or axes="column,angle", of k-space as in '
            'axes="coil,y,x" (command line: --axes).'
        )
    if array.dtype.kind not in "uif":
        raise FileError(f"{name!r} should hold real numbers; it holds {brief(array.dtype)}.")
    index = options.index
    if source.is_reversed:
        axes, index = ",".join(split_axes(axes)[::-1]), index[::-1] if isinstance(index, Sequence) else index
    _refuse_one_of_a_series(source, array, axes)
    stack = stacked(array, axes, index, repr(name))
    angles = given_angles(source, options, stack.frames)
    return Contents(
        format=f"{source.container.upper()} {'files' if source.is_series else 'array'}",
        dataset=name,
        projections=Frames(stack),
        flats=given_frames(options.flats, source, stack, "flats"),
        darks=given_frames(options.darks, source, stack, "darks"),
        angles=None if angles is None else angles.radians(options.angle_unit),
        counts=False,
        notes=notes,
    )


def _refuse_one_of_a_series(source: Source, array: Any, axes: str) -> None:
    """Refuse an image of numbered files where all of them are meant."""
    if source.container != "tiff" or array.ndim != 2 or len(split_axes(axes)) == 2:
        return
    pattern = source.path.parent / series_name(source.path)
    others = len(glob(str(pattern))) if pattern != source.path else 0
    more = f" Of {others} files with such names, give the folder or '{pattern}'." if others > 1 else ""
    raise ParameterError(
        f"axes={axes!r} does not fit {source.path}, which is one image of {array.shape[0]} x "
        f"{array.shape[1]} pixels.{more}"
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
    raise FileError(
        f"{source.path} holds several variables ({describe_variables(source.path)}). Name the one of "
        "projections and give the order of its axes, dataset=... and axes=... (command line: --dataset, "
        "--axes)."
    )
