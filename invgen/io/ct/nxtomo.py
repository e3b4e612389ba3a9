"""NXtomo files, the NeXus application definition for tomography (manual.nexusformat.org)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from invgen.core.errors import DataError, FileError, ParameterError
from invgen.core.text import quoted
from invgen.io.ct.angles import Angles, as_stored
from invgen.io.ct.beam import stated_beam
from invgen.io.ct.contents import Contents
from invgen.io.ct.given import given_angles, given_frames
from invgen.io.ct.image_key import DARK, FLAT, PROJECTION, image_key, keyed
from invgen.io.ct.stack import Frames, parse_axes, stacked
from invgen.io.hdf5 import (
    Dataset,
    File,
    Group,
    attribute,
    describe_datasets,
    find_object,
    get_dataset,
    has_link,
    length_value,
    number_value,
    text_attribute,
    text_value,
    walk,
)
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.units import Length, converted, is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"


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
    data, key = get_dataset(detector, "data"), image_key(detector)
    notes: list[str] = []
    axes = _axes(data, len(key), options, notes)
    stack = stacked(data, axes, options.index, data.name)
    if stack.frames != len(key):
        raise DataError(
            f"{detector.name}/image_key has {len(key)} entries for {stack.frames} frames; it should have "
            'one per frame. If the axes are in another order, say it: axes="angle,row,column" (--axes).'
        )
    groups = {value: np.flatnonzero(key == value) for value in (PROJECTION, FLAT, DARK)}
    if not groups[PROJECTION].size:
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

    def frames(value: int, given: object, what: Literal["flats", "darks"]) -> Frames | None:
        found = given_frames(given, source, stack, what)
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
        projections=Frames(stack, groups[PROJECTION]),
        flats=frames(FLAT, options.flats, "flats"),
        darks=frames(DARK, options.darks, "darks"),
        angles=_angles(source, entry, key, options),
        counts=True,
        pixel_size=pixel_size / magnification,
        unit=unit,
        row_size=None if row_size is None else row_size / magnification,
        beam=beam,
        half=half,
        saturation=number_value(detector, "saturation_value"),
        # frames are in the order in which they were recorded
        times=None if options.flats is not None else (groups[PROJECTION], groups[FLAT]),
        notes=(*notes, *remarks),
    )


def _entries(file: File) -> Iterator[Group]:
    """Entries (or subentries) whose definition is NXtomo, or that have frames with an image key."""
    groups = [group for group in walk(file) if isinstance(group, Group)]
    for group in groups:
        if has_link(group, "definition") and text_value(find_object(group, "definition")) == "NXtomo":
            yield group
    seen: set[tuple[int, int]] = set()  # below entries without a detector, which is looked for once
    for group in groups:
        if text_attribute(group, "NX_class") == "NXentry" and next(keyed(group, seen), None) is not None:
            yield group


def _detector(entry: Group) -> Group:
    found = list(keyed(entry))
    for group in found:
        if text_attribute(group, "NX_class") == "NXdetector":
            return group
    if not found:
        raise FileError(
            f"{entry.file.filename}: the NXtomo entry {entry.name} has no detector with data and image_key. "
            f"{describe_datasets(entry.file)}"
        )
    return found[0]


def _axes(data: Dataset, frames: int, options: Options, notes: list[str]) -> str:
    """Order of the axes: as given, as the data state, or from the axis of the image key's length.

    The definition prints (frame, x, y) and files in practice hold (frame, y, x); the shape does not
    distinguish them, so that the other two axes are taken as rows and columns unless stated otherwise.
    """
    if options.axes is not None:
        return options.axes
    stated = _stated_axes(data)
    if stated is not None:
        try:
            parse_axes(stated, data.shape, data.name)
            return stated
        except ParameterError:
            notes.append(f"the axes attribute of {data.name} names no order and is not used")
    if len(data.shape) == 2:
        return "angle,column" if data.shape[0] == frames else "column,angle"
    fitting = [axis for axis, length in enumerate(data.shape) if length == frames]
    frame_axis = fitting[0] if fitting else 0
    if len(fitting) > 1:
        notes.append(
            f"{len(fitting)} axes of {data.name} have the length of image_key ({frames}); the first is taken "
            "as the frames, as the definition has it (axes= or --axes says otherwise)"
        )
    order = ["row", "column"]
    order.insert(frame_axis, "angle")
    return ",".join(order)


def _stated_axes(data: Dataset) -> str | None:
    """The attribute ``axes``: one text, or a list of them; None where there is none."""
    text = text_attribute(data, "axes")
    if text is not None:
        return text
    try:
        found = attribute(data, "axes")
    except FileError:  # of a type that h5py cannot read
        return None
    return None if found is None else ",".join(map(str, np.atleast_1d(found)))


def _angles(source: Source, entry: Group, key: np.ndarray, options: Options) -> np.ndarray | None:
    """Angles of the projections, in radians; ``rotation_angle`` has one for every frame, flats included.

    Only those of projections have to be finite.
    """
    projections = np.flatnonzero(key == PROJECTION)
    angles = given_angles(source, options, len(projections), len(key)) or _rotation_angle(entry)
    if angles is None:
        return None
    if angles.values.size == len(key):
        return angles.radians(options.angle_unit, projections)
    if options.angles is not None or angles.values.size == len(projections):
        return angles.radians(options.angle_unit)
    raise DataError(
        f"{angles.what} has {angles.values.size} angles for {len(key)} frames; it should have one per frame."
    )


def _rotation_angle(entry: Group) -> Angles | None:
    """``rotation_angle`` of the sample as a rule, or wherever it is, behind links too."""
    failure: FileError | None = None
    for group in (entry, *walk(entry)):
        if isinstance(group, Group) and has_link(group, "rotation_angle"):
            try:
                angles = find_object(group, "rotation_angle")
            except FileError as error:  # there can be another link to them
                failure = failure or error
                continue
            if isinstance(angles, Dataset):
                return as_stored(angles, angles.name)
    if failure is not None:
        raise failure
    return None


def _pixel_size(detector: Group, axis: str, notes: list[str]) -> Length | None:
    name = f"{axis}_pixel_size"
    size = number_value(detector, name)
    if size is None:
        return None
    length = length_value(detector, name)
    if length is None or not is_length(size):
        unit = None if length is None else length[1]
        notes.append(
            f"{detector.name}/{name} is {size} in the unit {quoted(unit)}, no length, and is not used"
        )
        return None
    return length


def _source(entry: Group) -> Group | None:
    """Find the group of the source, by its class or where the definition has it."""
    for group in walk(entry):
        if isinstance(group, Group) and text_attribute(group, "NX_class") == "NXsource":
            return group
    found = find_object(entry, "instrument/source")
    return found if isinstance(found, Group) else None
