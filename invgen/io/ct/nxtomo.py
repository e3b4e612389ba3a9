"""NXtomo files, the NeXus application definition for tomography (manual.nexusformat.org)."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

from invgen.core.errors import DataError, FileError, ParameterError
from invgen.io.ct.angles import dataset_angles, given_angles
from invgen.io.ct.beam import stated_beam
from invgen.io.ct.contents import Contents, given_frames
from invgen.io.ct.stack import Frames, Stack, parse_axes
from invgen.io.hdf5 import (
    describe_datasets,
    find_object,
    get_dataset,
    length_value,
    link_type,
    number_value,
    read_all,
    text_attribute,
    text_value,
    walk,
)
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.units import Length, converted, is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"

_PROJECTION, _FLAT, _DARK = 0, 1, 2  # and 3, invalid


def recognize(source: Source, options: Options) -> bool:
    """Whether an entry of the file states that it is NXtomo, and no dataset is named."""
    return options.dataset is None and next(_entries(source.hdf5), None) is not None


def read(source: Source, options: Options) -> Contents:
    """Read the layout of the first NXtomo entry: frames lazily, keys, angles and metadata at once."""
    file = source.hdf5
    entry = next(_entries(file), None)
    if entry is None:
        raise FileError(f"{source.path} has no entry of NXtomo. {describe_datasets(file)}")
    detector = _detector(entry)
    data, key = get_dataset(file, f"{detector.name}/data"), _key(detector)
    notes: list[str] = []
    axes = _axes(data, len(key), options, notes)
    stack = Stack(data, axes, data.name)
    if stack.frames != len(key):
        raise DataError(
            f"{detector.name}/image_key has {len(key)} entries for {stack.frames} frames; it should have "
            'one per frame. If the axes are in another order, say it: axes="angle,row,column" (--axes).'
        )
    groups = {value: np.flatnonzero(key == value) for value in (_PROJECTION, _FLAT, _DARK)}
    if not groups[_PROJECTION].size:
        raise DataError(f"{detector.name}/image_key marks no frame as a projection (0).")
    aligning = int((key < 0).sum())
    if aligning:
        notes.append(
            f"{aligning} of {len(key)} frames are marked as alignment frames, by a negative image key, and "
            "left out"
        )
    invalid = len(key) - sum(map(len, groups.values())) - aligning
    if invalid:
        notes.append(f"{invalid} of {len(key)} frames are marked invalid and left out")

    def frames(value: int, given: object, what: str) -> Frames | None:
        found = given_frames(given, source.array, axes, what)
        return found or (Frames(stack, groups[value]) if groups[value].size else None)

    pixel_size, unit = _pixel_size(detector, "x", notes) or (1.0, "pixel")
    row_size = converted(_pixel_size(detector, "y", notes) or (pixel_size, unit), unit)
    emitter = _source(entry)
    beam, remarks = stated_beam(
        None,
        None if emitter is None else length_value(emitter, "distance"),
        length_value(detector, "distance"),
        (pixel_size, unit),
        (stack.rows, stack.columns),
    )
    magnification = 1.0 if beam is None else beam.magnification
    half = (text_value(find_object(detector, "field_of_view")) or "").strip().lower() == "half"
    if half:
        notes.append("the file states a half-acquisition, field_of_view Half: the axis is next to an edge")
    return Contents(
        format="NXtomo",
        dataset=data.name.lstrip("/"),
        projections=Frames(stack, groups[_PROJECTION]),
        flats=frames(_FLAT, options.flats, "flats"),
        darks=frames(_DARK, options.darks, "darks"),
        angles=_angles(entry, len(key), groups[_PROJECTION], options),
        counts=True,
        pixel_size=pixel_size / magnification,
        unit=unit,
        row_size=None if row_size is None else row_size / magnification,
        beam=beam,
        half=half,
        saturation=number_value(detector, "saturation_value"),
        # frames are in the order in which they were recorded
        times=None if options.flats is not None else (groups[_PROJECTION], groups[_FLAT]),
        notes=(*notes, *remarks),
    )


def _entries(file: h5py.File) -> Iterator[h5py.Group]:
    """Entries (or subentries) whose definition is NXtomo, or that have frames with an image key."""
    groups = [group for group in walk(file) if isinstance(group, h5py.Group)]
    for group in groups:
        definition = find_object(group, "definition")
        if text_value(definition) == "NXtomo":
            yield group
    for group in groups:
        if text_attribute(group, "NX_class") == "NXentry" and next(_detectors(group), None) is not None:
            yield group


def _detectors(entry: h5py.Group) -> Iterator[h5py.Group]:
    for group in walk(entry):
        if isinstance(group, h5py.Group) and link_type(group, "image_key") is not None:
            yield group


def _detector(entry: h5py.Group) -> h5py.Group:
    found = list(_detectors(entry))
    for group in found:
        if text_attribute(group, "NX_class") == "NXdetector":
            return group
    if not found:
        raise FileError(
            f"{entry.file.filename}: the NXtomo entry {entry.name} has no detector with data and image_key. "
            f"{describe_datasets(entry.file)}"
        )
    return found[0]


def _key(detector: h5py.Group) -> np.ndarray:
    """What each frame is: ``image_key``, or ``image_key_control`` where that is negative.

    Of alignment frames, which the ESRF takes after a scan to see whether the object has moved, the former
    says projection.
    """
    key = read_all(get_dataset(detector.file, f"{detector.name}/image_key")).reshape(-1)
    control = find_object(detector, "image_key_control")
    if not isinstance(control, h5py.Dataset):
        return key
    controls = read_all(control).reshape(-1)
    if len(controls) != len(key):
        raise DataError(
            f"{control.name} has {len(controls)} entries for the {len(key)} of image_key; it should have one "
            "for each."
        )
    return np.where(controls < 0, controls, key)


def _axes(data: h5py.Dataset, frames: int, options: Options, notes: list[str]) -> tuple[str, ...]:
    """Order of the axes: as given, as the data state, or from the axis of the image key's length.

    The definition prints (frame, x, y) and files in practice hold (frame, y, x); the shape does not
    distinguish them, so that the other two axes are taken as rows and columns unless stated otherwise.
    """
    if options.axes is not None:
        return parse_axes(options.axes, data.shape, data.name)
    stated = data.attrs.get("axes")
    if stated is not None:
        names = stated if isinstance(stated, str | bytes) else ",".join(map(str, np.atleast_1d(stated)))
        try:
            return parse_axes(names.decode() if isinstance(names, bytes) else names, data.shape, data.name)
        except (ParameterError, UnicodeDecodeError):
            notes.append(f"the axes attribute of {data.name} names no order and is not used")
    if len(data.shape) == 2:
        return ("angle", "column") if data.shape[0] == frames else ("column", "angle")
    fitting = [axis for axis, length in enumerate(data.shape) if length == frames]
    frame_axis = fitting[0] if fitting else 0
    if len(fitting) > 1:
        notes.append(
            f"{len(fitting)} axes of {data.name} have the length of image_key ({frames}); the first is taken "
            "as the frames, as the definition has it (axes= or --axes says otherwise)"
        )
    order = ["row", "column"]
    order.insert(frame_axis, "angle")
    return tuple(order)


def _angles(entry: h5py.Group, frames: int, projections: np.ndarray, options: Options) -> np.ndarray | None:
    """Angles of the projections, in radians; ``rotation_angle`` has one for every frame, flats included."""
    if options.angles is not None:
        return given_angles(options)
    if options.angles_dataset is not None:
        dataset = get_dataset(entry.file, options.angles_dataset)
    else:
        found = (
            item
            for item in walk(entry)
            if isinstance(item, h5py.Dataset) and item.name.rsplit("/", 1)[1] == "rotation_angle"
        )
        dataset = next(found, None)
        if dataset is None:
            return None
        dataset = get_dataset(entry.file, dataset.name)
    angles = dataset_angles(dataset, options)
    if len(angles) != frames:
        raise DataError(
            f"{dataset.name} has {len(angles)} angles for {frames} frames; it should have one per frame."
        )
    return angles[projections]


def _pixel_size(detector: h5py.Group, axis: str, notes: list[str]) -> Length | None:
    name = f"{axis}_pixel_size"
    size = number_value(detector, name)
    if size is None:
        return None
    length = length_value(detector, name)
    if length is None or not is_length(size):
        unit = None if length is None else length[1]
        notes.append(
            f"{detector.name}/{name} is {size} in the unit {unit!r}, which is no length, and is not used"
        )
        return None
    return length


def _source(entry: h5py.Group) -> h5py.Group | None:
    """Find the group of the source, by its class or where the definition has it."""
    for group in walk(entry):
        if isinstance(group, h5py.Group) and text_attribute(group, "NX_class") == "NXsource":
            return group
    found = find_object(entry, "instrument/source")
    return found if isinstance(found, h5py.Group) else None
