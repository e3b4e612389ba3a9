"""Data Exchange files, De Carlo et al. (2014), doi:10.1107/S160057751401604X."""

from __future__ import annotations

import h5py
import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.io.ct.angles import dataset_angles, given_angles
from invgen.io.ct.beam import stated_beam
from invgen.io.ct.contents import Contents, given_frames
from invgen.io.ct.stack import Frames, Stack, parse_axes
from invgen.io.hdf5 import find_object, get_dataset, length_value, number_value, text_attribute, text_value
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.units import Length, converted, is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"

_DATA = "exchange/data"
_THETA = "exchange/theta"
_INSTRUMENT = "measurement/instrument"
_DETECTOR = f"{_INSTRUMENT}/detector"


def recognize(source: Source, options: Options) -> bool:
    """Whether the file has the one dataset that the format requires, and no other is named."""
    return options.dataset is None and isinstance(find_object(source.hdf5, _DATA), h5py.Dataset)


def read(source: Source, options: Options) -> Contents:
    """Read the layout of the file: frames lazily, angles and metadata at once."""
    file, notes = source.hdf5, list[str]()
    data = _stack(file, _DATA, options, notes)
    flats = given_frames(options.flats, source.array, data.axes, "flats") or _frames(
        file, "exchange/data_white", options, notes
    )
    darks = given_frames(options.darks, source.array, data.axes, "darks") or _frames(
        file, "exchange/data_dark", options, notes
    )
    pixel_size, unit = _pixel_size(file, "x", notes) or (1.0, "pixel")
    row_size = converted(_pixel_size(file, "y", notes) or (pixel_size, unit), unit)
    angles = _angles(file, options)
    beam, remarks = stated_beam(
        text_value(find_object(file, f"{_INSTRUMENT}/geometry")),
        length_value(file, f"{_INSTRUMENT}/source/distance", "m"),
        length_value(file, f"{_DETECTOR}/distance", "m"),
        (pixel_size, unit),
        (data.rows, data.columns),
        curved=_is_curved(file, notes),
    )
    # of parallel beams the size is the one at the sample, of others that on the detector
    magnification = 1.0 if beam is None else beam.magnification
    bits = number_value(file, f"{_DETECTOR}/bit_depth")
    return Contents(
        format="Data Exchange",
        dataset=_DATA,
        projections=Frames(data),
        flats=flats,
        darks=darks,
        angles=angles,
        counts=True,
        pixel_size=pixel_size / magnification,
        unit=unit,
        row_size=None if row_size is None else row_size / magnification,
        beam=beam,
        saturation=2.0**bits - 1 if bits and 0 < bits <= 32 else None,
        times=_times(file, angles, flats, options, notes),
        notes=(*notes, *remarks),
    )


def _is_curved(file: h5py.File, notes: list[str]) -> bool:
    """Whether the detector is an arc; it is flat where the file does not say."""
    shape = text_value(find_object(file, f"{_DETECTOR}/shape"))
    if shape is None or shape.strip().lower() in ("flat", "curved"):
        return shape is not None and shape.strip().lower() == "curved"
    notes.append(f"the detector's shape {shape!r} is neither flat nor curved: it is taken as flat")
    return False


def _angles(file: h5py.File, options: Options) -> np.ndarray | None:
    if options.angles is not None:
        return given_angles(options)
    if options.angles_dataset is not None:
        return dataset_angles(get_dataset(file, options.angles_dataset), options)
    theta = find_object(file, _THETA)
    if not isinstance(theta, h5py.Dataset):
        return None
    return dataset_angles(theta, options, by_definition="deg")


def _times(
    file: h5py.File, views: np.ndarray | None, flats: Frames | None, options: Options, notes: list[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Angles of projections and of flats, which say when these were taken, where the file has both."""
    white = find_object(file, "exchange/theta_white")
    stated = options.flats is options.angles is options.angles_dataset is None
    if flats is None or views is None or not (stated and isinstance(white, h5py.Dataset)):
        return None
    try:
        angles = dataset_angles(white, options, by_definition="deg")
    except DataError as error:
        notes.append(f"{error} The angles of the flat fields are not used")
        return None
    if len(angles) != len(flats):
        notes.append(
            f"exchange/theta_white has {len(angles)} angles for {len(flats)} flat fields, and is not used"
        )
        return None
    return views, angles


def _frames(file: h5py.File, name: str, options: Options, notes: list[str]) -> Frames | None:
    dataset = find_object(file, name)
    if not isinstance(dataset, h5py.Dataset) or not dataset.shape or 0 in dataset.shape:
        return None
    return Frames(_stack(file, name, options, notes))


def _stack(file: h5py.File, name: str, options: Options, notes: list[str]) -> Stack:
    """Frames of a dataset; its ``axes`` attribute is mandatory where the order is not theta, y, x."""
    dataset = get_dataset(file, name)
    default = "theta:y:x" if len(dataset.shape) == 3 else "theta:x"
    stated = text_attribute(dataset, "axes")
    if options.axes is None and stated is not None:
        try:
            return Stack(dataset, parse_axes(stated, dataset.shape, name), name)
        except ParameterError:
            notes.append(
                f"the axes attribute of {name}, {stated!r}, names no order; "
                f"{default}, the format's own, is taken"
            )
    return Stack(dataset, parse_axes(options.axes or default, dataset.shape, name), name)


def _pixel_size(file: h5py.File, axis: str, notes: list[str]) -> Length | None:
    """Read the distance of the columns or rows, and its unit; ``pixel_size_x`` is before the optics."""
    for name in (f"actual_pixel_size_{axis}", f"{axis}_pixel_size"):
        size = length_value(file, f"{_DETECTOR}/{name}", "m")
        if size is not None and is_length(size[0]):
            return size
        if size is not None:
            notes.append(f"{_DETECTOR}/{name} is {size[0]}, which is no length, and is not used")
    return None
