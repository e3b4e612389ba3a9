"""Scans of Nikon (X-Tek) laboratory systems: a ``.xtekct`` text, and its projections in TIFF files beside it.

As CIL reads them, ``cil.io.NikonDataReader`` (Jorgensen et al. 2021, doi:10.1098/rsta.2020.0192): a cone
beam, angles in equal steps in spite of those in ``.ang`` and ``_ctdata.txt`` files, and ``WhiteLevel`` as the
counts of the open beam, images being corrected for the detector already.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from invgen.core.errors import DataError, FileError
from invgen.core.text import quoted
from invgen.io.ct.angles import Angles
from invgen.io.ct.beam import Beam
from invgen.io.ct.contents import Contents
from invgen.io.ct.given import given_angles, given_frames
from invgen.io.ct.stack import Frames, Stack
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.tiffs import TiffSeries, natural
from invgen.io.units import is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "nikon"

_MAX_BYTES = 2**20  # of the text
_LARGEST = 2**16 - 1  # of the counts
_MAX_COUNT = 2**20  # of projections, rows or columns
_UNIT = "mm"
#: Positions of the object that are not followed, and what they would change.
_IGNORED = {
    "ObjectTilt": "the tilt of the rotation axis along the beam",
    "ObjectRoll": "the roll of the rotation axis",
    "DetectorOffsetX": "the offset of the detector",
    "DetectorOffsetY": "the height of the detector",
}


def recognize(source: Source, options: Options) -> bool:
    """Every file of that container is one."""
    return True


def read(source: Source, options: Options) -> Contents:
    """Read the geometry, and the projections lazily.

    Columns are counted from the other side than in the files, in which they are as seen against the beam, so
    that the views turn counterclockwise as seen from above; rows are as in the files, the top one first.

    Raises
    ------
    FileError
        When the text lacks a number, or projections are missing.
    DataError
        When what it states contradicts the projections, or makes no geometry.
    """
    stated = _Stated(source.path)
    views, rows, columns = (
        stated.count(name) for name in ("Projections", "DetectorPixelsY", "DetectorPixelsX")
    )
    series = TiffSeries([source.beside(path) for path in _projections(stated, options, views)], stated.name)
    if series.shape != (views, rows, columns):
        raise DataError(
            f"{source.path} states {views} projections of {rows} rows and {columns} columns; those of "
            f"{series.files[0].parent} are {series.shape[0]} of {series.shape[1]} rows and {series.shape[2]} "
            "columns."
        )
    beam = Beam("fan" if rows == 1 else "cone", stated.length("SrcToObject"), stated.length("SrcToDetector"))
    spacing = stated.length("DetectorPixelSizeX")
    stack = Stack(series, ("angle", "row", "column"), str(source.path), mirrored=True)
    white = stated.number("WhiteLevel", _LARGEST)
    if not 0 < white < math.inf:
        raise DataError(f"{source.path}: WhiteLevel, the counts of the open beam, is {white:g}.")
    level = np.broadcast_to(np.float32(white), (1, rows, columns))
    angles = given_angles(source, options, views) or _angles(stated, views)
    return Contents(
        format="Nikon",
        dataset=str(series.files[0].parent),
        projections=Frames(stack),
        flats=given_frames(options.flats, source, stack, "flats")
        or Frames(Stack(level, stack.axes, "WhiteLevel")),
        darks=given_frames(options.darks, source, stack, "darks"),
        angles=angles.radians(options.angle_unit),
        counts=True,
        pixel_size=spacing / beam.magnification,
        unit=_UNIT,
        row_size=stated.length("DetectorPixelSizeY", spacing) / beam.magnification,
        beam=beam,
        saturation=math.inf if white >= _LARGEST else None,  # a level that is stated is not clipped
        notes=_notes(stated, beam, spacing, columns),
    )


def _angles(stated: _Stated, views: int) -> Angles:
    """Equal steps from the first angle, which CIL has half a turn from where the source is at (0, -1)."""
    step = stated.number("AngularStep", 360 / views)
    if step == 0:
        raise DataError(f"{stated.path}: AngularStep is zero: no angle differs from another.")
    first = stated.number("InitialAngle", 0.0) - 180
    return Angles(first + step * np.arange(views), "deg", f"{stated.path}: InitialAngle")


def _projections(stated: _Stated, options: Options, views: int) -> list[Path]:
    """Files ``Name_0001.tif`` and so on, beside the text or in the folder that it names."""
    folder = stated.path.parent
    named = stated.text("InputFolderName").replace("\\", "/")
    if named and (folder / named).is_dir():
        inside = Path(os.path.realpath(folder / named)).is_relative_to(os.path.realpath(folder))
        if not (inside or options.follow_links):
            raise FileError(
                f"{stated.path} names another folder, {quoted(named)}, out of its own, and is not followed. "
                "follow_links=True follows it (command line: --follow-links)."
            )
        folder = folder / named
    start = f"{stated.name}{stated.text('InputSeparator') or '_'}"
    pattern = re.compile(re.escape(start) + r"0*([0-9]{1,9})\.tiff?", re.IGNORECASE)
    found = {int(match[1]): path for path in folder.iterdir() if (match := pattern.fullmatch(path.name))}
    missing = [number for number in range(1, views + 1) if number not in found]
    if missing:
        raise FileError(
            f"{stated.path} states {views} projections, {quoted(start + '0001.tif')} and so on; "
            f"{len(missing)} of them are missing from {folder}, the first is number {missing[0]}."
        )
    return sorted((found[number] for number in range(1, views + 1)), key=natural)


def _notes(stated: _Stated, beam: Beam, spacing: float, columns: int) -> tuple[str, ...]:
    notes = [
        f"{name}, {about}, is {value:g} in the file and is not followed"
        for name, about in _IGNORED.items()
        if (value := stated.number(name, 0.0)) != 0
    ]
    ends = [stated.number(f"CentreOfRotation{end}", 0.0) for end in ("Top", "Bottom")]
    shift = stated.number("ObjectOffsetX", sum(ends) / 2 / beam.magnification)  # at the object
    if shift != 0:
        column = (columns - 1) / 2 - shift * beam.magnification / spacing
        notes.append(
            f"the file states the rotation axis at column {column:.2f}; it is found in the data, unless "
            "it is given (--center)"
        )
    return tuple(notes)


class _Stated:
    """The lines ``Name=value`` of the text, none of which is trusted."""

    def __init__(self, path: Path):
        self.path = path
        if path.stat().st_size > _MAX_BYTES:
            raise FileError(f"{path} has {path.stat().st_size} bytes; no description of a scan is that long.")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        lines = (line.partition("=") for line in text.splitlines())
        self._values = {name.strip(): value.strip() for name, equals, value in lines if equals}
        self.name = self.text("Name") or path.stem

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def number(self, name: str, default: float | None = None) -> float:
        text = self.text(name)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            found = f"it is {quoted(text)}" if text else "it is not there"
            raise FileError(f"{self.path}: {name} should be a number; {found}.")
        return value

    def count(self, name: str) -> int:
        value = self.number(name)
        if value != int(value) or not 0 < value <= _MAX_COUNT:
            raise FileError(
                f"{self.path}: {name} should be a whole number from 1 to {_MAX_COUNT}; it is {value:g}."
            )
        return int(value)

    def length(self, name: str, default: float | None = None) -> float:
        value = self.number(name, default)
        if not is_length(value):
            raise FileError(f"{self.path}: {name} should be a positive length in {_UNIT}; it is {value:g}.")
        return value
