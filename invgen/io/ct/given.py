"""Flats, darks and angles that the caller gives: numbers, arrays of the scan's file, or other files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from invgen.core.errors import DataError, FileError
from invgen.core.text import quoted
from invgen.io.ct.angles import Angles, as_stored, check_angles
from invgen.io.ct.image_key import DARK, FLAT, frames_of_key, keyed
from invgen.io.ct.stack import Frames, Stack, fitting
from invgen.io.hdf5 import Dataset, File, Group, describe_datasets, find_object, has_link, walk
from invgen.io.options import Options
from invgen.io.source import Source, named_file

__all__ = ["given_angles", "given_frames"]

#: Where formats have flats and darks, and their image keys.
_OWN = {"flats": ("exchange/data_white", FLAT), "darks": ("exchange/data_dark", DARK)}
_FIELDS = {"flats": "flat fields", "darks": "dark fields"}
_MAX_TEXT = 2**26  # bytes of a list of angles


def given_frames(given: Any, source: Source, like: Stack, what: Literal["flats", "darks"]) -> Frames | None:
    """Flat or dark fields from the caller, of the detector of the projections; None where there are none.

    Parameters
    ----------
    given : str, Path or array, or None
        An array of the scan's file, or ``FILE[:DATASET]``, or numbers.
    source : Source
        The scan's file.
    like : Stack
        The projections.
    what : {"flats", "darks"}

    Raises
    ------
    FileError
        When there is no such array or file, or the file has several arrays that could be meant.
    DataError
        When they are not of the detector of the projections.
    """
    if given is None:
        return None
    if not isinstance(given, str | Path):
        return Frames(fitting(np.asarray(given), like, _FIELDS[what]))
    place, name = source.located(str(given))
    if place.is_hdf5 and name is None:
        return _own_frames(place.hdf5, like, what)
    return Frames(fitting(place.array(name), like, _FIELDS[what]))


def _own_frames(file: File, like: Stack, what: Literal["flats", "darks"]) -> Frames:
    """Flats or darks of another file: where its format has them, else its only array of that shape."""
    path, key = _OWN[what]
    dataset = find_object(file, path)
    if isinstance(dataset, Dataset) and dataset.size:
        return Frames(fitting(dataset, like, _FIELDS[what]))
    for detector in keyed(file):
        found = frames_of_key(detector, key)
        if found is not None:
            data, index = found
            return Frames(fitting(data, like, _FIELDS[what]), index)
    stacks = []
    for each in walk(file):
        if isinstance(each, Dataset) and each.shape and each.size and each.dtype.kind in "uif":
            try:
                stacks.append(fitting(each, like, _FIELDS[what]))
            except DataError:
                continue
    if len(stacks) != 1:
        raise FileError(
            f"{file.filename} has {len(stacks) or 'no'} arrays with the {like.rows} rows and {like.columns} "
            f"columns of the projections; name one, {what}={file.filename + ':DATASET'!r} (command line: "
            f"--{what} FILE:DATASET). {describe_datasets(file)}"
        )
    return Frames(stacks[0])


def given_angles(source: Source, options: Options, views: int, frames: int | None = None) -> Angles | None:
    """Angles that the caller gives as numbers, or by the name of an array or a file; None without either.

    Parameters
    ----------
    source : Source
        The scan's file.
    options : Options
    views : int
        Number of projections.
    frames : int, optional
        Number of all frames of the scan, flats and darks included, where an array may have an angle for each.

    Raises
    ------
    FileError
        When there is no such array or file, or the file has several arrays that could be meant.
    """
    if options.angles is not None:
        return Angles(check_angles(np.asarray(options.angles), "angles"), "rad", "angles", is_given=True)
    name = options.angles_dataset
    if name is None:
        return None
    if not source.holds(name) and (text := _text_file(name)) is not None:
        return Angles(_numbers(source.beside(text)), None, str(text))
    place, array = source.located(name)
    if place.is_hdf5 and array is None:
        return _own_angles(place.hdf5, {views, frames or views})
    return as_stored(place.array(array), quoted(name))


def _text_file(name: str) -> Path | None:
    """The file of that name, where it is a text: it begins with none of the signatures of other files."""
    found = named_file(name)
    if found is None or found[1] is not None or not found[0].is_file():
        return None
    with found[0].open("rb") as file:
        head = file.read(4096)
    printing = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return found[0] if head and printing and not head.startswith((b"MATLAB", b"II*\0", b"MM\0*")) else None


def _numbers(path: Path) -> np.ndarray:
    """Numbers of a text: white space, commas or semicolons between them; comments begin with # or %."""
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise FileError(f"{path} has {path.stat().st_size / 1e6:.0f} MB; no list of angles is that long.")
        text = re.sub("[#%].*", "", path.read_text(encoding="utf-8-sig"))
        return np.array(re.split(r"[\s,;]+", text.strip(" \t\r\n,;")), dtype=np.float64)
    except (OSError, ValueError) as error:  # also text that is no UTF-8
        raise FileError(f"{path} is no list of angles: {quoted(error)}.") from error


def _own_angles(file: File, counts: set[int]) -> Angles:
    """Angles of another file: where its format has them, else its only list of as many numbers."""
    theta = find_object(file, "exchange/theta")
    if isinstance(theta, Dataset):
        return as_stored(theta, theta.name, "deg")
    for group in walk(file):
        if isinstance(group, Group) and has_link(group, "rotation_angle"):
            angles = find_object(group, "rotation_angle")
            if isinstance(angles, Dataset) and angles.size in counts:
                return as_stored(angles, angles.name)
    lists = [
        each
        for each in walk(file)
        if isinstance(each, Dataset)
        and each.dtype.kind in "uif"
        and each.size in counts
        and each.size == max(each.shape or (0,))
    ]
    if len(lists) != 1:
        wanted = " or ".join(map(str, sorted(counts)))
        raise FileError(
            f"{file.filename} has {len(lists) or 'no'} lists of {wanted} numbers, one for each projection; "
            f"name one, angles_dataset={file.filename + ':DATASET'!r} (command line: --angles "
            f"FILE:DATASET). {describe_datasets(file)}"
        )
    return as_stored(lists[0], lists[0].name)
