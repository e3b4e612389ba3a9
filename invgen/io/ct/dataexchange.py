"""Data Exchange files, De Carlo et al. (2014), doi:10.1107/S160057751401604X."""

from __future__ import annotations

import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.core.text import quoted
from invgen.io.ct.angles import Angles, as_stored
from invgen.io.ct.beam import stated_beam
from invgen.io.ct.contents import Contents
from invgen.io.ct.given import given_angles, given_frames
from invgen.io.ct.stack import Frames, Stack, fitting, parse_axes, stacked
from invgen.io.entries import FURTHER_AXES, split_axes
from invgen.io.hdf5 import (
    Dataset,
    File,
    find_object,
    get_dataset,
    length_value,
    number_value,
    text_attribute,
    text_value,
)
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.units import Length, converted, is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"

_DATA = "exchange/data"
_THETA = "exchange/theta"
_ROTATION = "process/acquisition/rotation"
_MAX_TURNS = 10  # of a scan whose steps are stated
_INSTRUMENT = "measurement/instrument"
_DETECTOR = f"{_INSTRUMENT}/detector"


def recognize(source: Source, options: Options) -> bool:
    """Whether the file has the one dataset that the format requires, and no other is named."""
    return options.dataset is None and isinstance(find_object(source.hdf5, _DATA), Dataset)


def read(source: Source, options: Options) -> Contents:
    """Read the layout of the file: frames lazily, angles and metadata at once."""
    file, notes = source.hdf5, list[str]()
    data = _stack(file, options, notes)
    flats = given_frames(options.flats, source, data, "flats")
    flats = flats or _frames(file, "exchange/data_white", data, "flat fields", notes)
    darks = given_frames(options.darks, source, data, "darks")
    darks = darks or _frames(file, "exchange/data_dark", data, "dark fields", notes)
    pixel_size, unit = _pixel_size(file, "x", notes) or (1.0, "pixel")
    row_size = converted(_pixel_size(file, "y", notes) or (pixel_size, unit), unit)
    angles = _angles(source, options, data.frames, notes)
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


def _is_curved(file: File, notes: list[str]) -> bool:
    """Whether the detector is an arc; it is flat where the file does not say."""
    shape = text_value(find_object(file, f"{_DETECTOR}/shape"))
    if shape is None or shape.strip().lower() in ("flat", "curved"):
        return shape is not None and shape.strip().lower() == "curved"
    notes.append(f"the detector's shape {quoted(shape)} is neither flat nor curved: it is taken as flat")
    return False


def _angles(source: Source, options: Options, views: int, notes: list[str]) -> np.ndarray | None:
    """Angles of the caller, or ``theta``, or the start and step of the rotation that APS beamlines write."""
    file, angles = source.hdf5, given_angles(source, options, views)
    if angles is None:
        theta = find_object(file, _THETA)
        if isinstance(theta, Dataset):
            angles = as_stored(theta, _THETA, "deg")
            if theta.size == 2 < views:
                return _two(angles, options, views, notes)
    return _steps(file, options, views) if angles is None else angles.radians(options.angle_unit)


def _two(stored: Angles, options: Options, views: int, notes: list[str]) -> np.ndarray:
    """Angles of all projections, of their start and step."""
    start, step = stored.radians(options.angle_unit)
    if step == 0 or abs(step) * views > _MAX_TURNS * 2 * np.pi:
        raise DataError(
            f"{_THETA} has 2 angles for {views} projections, which are no start and step either: {views} "
            f"steps of {np.degrees(step):.4g} degrees. Give the angles, as in --angles 0:180:{views}."
        )
    notes.append(
        f"{_THETA} holds two numbers, taken as the start and the step of the rotation, "
        f"{np.degrees(start):.4g} and {np.degrees(step):.4g} degrees"
    )
    return start + step * np.arange(views)


def _steps(file: File, options: Options, views: int) -> np.ndarray | None:
    """Angles in equal steps, which acquisition programs of the APS write beside or in place of ``theta``.

    ``rotation_start``, ``rotation_step`` and ``num_angles`` are what ``dxchange.read_aps_tomoscan_hdf5``
    reads, De Carlo et al., https://github.com/data-exchange/dxchange.
    """
    start, step = (number_value(file, f"{_ROTATION}/rotation_{name}") for name in ("start", "step"))
    if start is None or step is None or step == 0:
        return None
    count = number_value(file, f"{_ROTATION}/num_angles")
    if count is not None and count != views:
        raise DataError(
            f"{_ROTATION} states {count:g} angles in steps of {step:g}, and {_DATA} has {views} projections: "
            "the scan was cut short, or frames are missing. Give the angles (command line: --angles)."
        )
    dataset = get_dataset(file, f"{_ROTATION}/rotation_step")
    stated = as_stored(dataset, dataset.name, "deg").stated
    what = f"{_ROTATION}/rotation_start"
    return Angles(start + step * np.arange(views), stated, what).radians(options.angle_unit)


def _times(
    file: File, views: np.ndarray | None, flats: Frames | None, options: Options, notes: list[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Angles of projections and of flats, which say when these were taken, where the file has both."""
    white = find_object(file, "exchange/theta_white")
    stated = options.flats is options.angles is options.angles_dataset is None
    if flats is None or views is None or not (stated and isinstance(white, Dataset)):
        return None
    try:
        angles = as_stored(white, white.name, "deg").radians(options.angle_unit)
    except DataError as error:
        notes.append(f"{error} The angles of the flat fields are not used")
        return None
    if len(angles) != len(flats):
        notes.append(
            f"exchange/theta_white has {len(angles)} angles for {len(flats)} flat fields, and is not used"
        )
        return None
    return views, angles


def _frames(file: File, name: str, like: Stack, what: str, notes: list[str]) -> Frames | None:
    """Flats or darks: one frame or several, with axes as stated, else as the projections have."""
    dataset = find_object(file, name)
    if not isinstance(dataset, Dataset) or not dataset.shape or 0 in dataset.shape:
        return None
    stated = text_attribute(dataset, "axes")
    if stated is not None and dataset.ndim == 3:
        try:
            return Frames(Stack(dataset, parse_axes(stated, dataset.shape, name), name))
        except ParameterError:
            notes.append(_no_order(name, stated, "that of the projections"))
    return Frames(fitting(dataset, like, what))


def _stack(file: File, options: Options, notes: list[str]) -> Stack:
    """The projections; their ``axes`` attribute is mandatory where the order is not theta, y, x."""
    dataset = get_dataset(file, _DATA)
    default = "theta:y:x" if dataset.ndim == 3 else "theta:x"
    stated = text_attribute(dataset, "axes")
    if options.axes is None and stated is not None:
        try:
            return stacked(dataset, stated, options.index, _DATA)
        except ParameterError:
            if set(split_axes(stated)) & set(FURTHER_AXES):
                raise
            notes.append(_no_order(_DATA, stated, f"{default}, the format's own,"))
    return stacked(dataset, options.axes or default, options.index, _DATA)


def _no_order(name: str, stated: str, taken: str) -> str:
    return f"the axes attribute of {name}, {quoted(stated)}, names no order; {taken} is taken"


def _pixel_size(file: File, axis: str, notes: list[str]) -> Length | None:
    """Read the distance of the columns or rows, and its unit; ``pixel_size_x`` is before the optics."""
    for name in (f"actual_pixel_size_{axis}", f"{axis}_pixel_size"):
        size = length_value(file, f"{_DETECTOR}/{name}", "m")
        if size is not None and is_length(size[0]):
            return size
        if size is not None:
            notes.append(f"{_DETECTOR}/{name} is {size[0]}, which is no length, and is not used")
    return None
