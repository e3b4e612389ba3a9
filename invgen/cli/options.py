"""Options that several commands share, and the reading of what is typed into them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from invgen.io import Scan

_READING = "Reading the scan (what the file does not say itself)"


class AngleUnit(StrEnum):
    """Units of angles in files."""

    deg = "deg"
    rad = "rad"


class Quantity(StrEnum):
    """What projections can be without flat fields."""

    transmission = "transmission"
    absorption = "absorption"


class Rotation(StrEnum):
    """Ways to turn around the object, x to the right and y up."""

    counterclockwise = "counterclockwise"
    clockwise = "clockwise"


class Format(StrEnum):
    """Files that are read."""

    dataexchange = "dataexchange"
    nxtomo = "nxtomo"
    hdf5 = "hdf5"
    npy = "npy"
    mat = "mat"
    tiff = "tiff"


ScanFile = Annotated[
    Path,
    typer.Argument(
        metavar="SCAN",
        help="File of the scan: Data Exchange, NXtomo, HTC 2022, or any HDF5, NPY, MAT or TIFF array.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Array of the projections.", rich_help_panel=_READING),
]
Axes = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="Order of its axes: angle,row,column or, for one slice, angle,column or column,angle.",
        rich_help_panel=_READING,
    ),
]
Angles = Annotated[
    str | None,
    typer.Option(
        metavar="ANGLES",
        help="Angles of the projections, in the file's order: START:STOP:COUNT in degrees, STOP left out "
        "(0:180:60 is 0, 3, ... 177); a text or NPY file, in --angle-unit; or an array of the scan's file.",
        rich_help_panel=_READING,
    ),
]
Unit = Annotated[
    AngleUnit | None,
    typer.Option(help="Unit of the angles in files that do not state it.", rich_help_panel=_READING),
]
Flats = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Array of the frames without object (open beam); of NPY and TIFF scans, another such file.",
        rich_help_panel=_READING,
    ),
]
Darks = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Likewise, of the frames without beam.", rich_help_panel=_READING),
]
What = Annotated[
    Quantity | None,
    typer.Option(
        metavar="WHAT",
        help="What projections without flats are: transmission, I / I0; or absorption, line integrals "
        "-log(I / I0).",
        rich_help_panel=_READING,
    ),
]
Turn = Annotated[
    Rotation | None,
    typer.Option(
        help="Which way the view angles turn; clockwise is for files that count the other way: images of "
        "fan and cone beams are else blurred, of parallel beams mirrored.",
        rich_help_panel=_READING,
    ),
]
FileFormat = Annotated[
    Format | None,
    typer.Option(
        metavar="NAME",
        help="What the file is, if not what it looks like: dataexchange, nxtomo, hdf5, npy, mat or tiff.",
        rich_help_panel=_READING,
    ),
]


@dataclass(frozen=True)
class Reading:
    """What was said about how to read a scan; None where the file is asked."""

    dataset: str | None = None
    axes: str | None = None
    angles: str | None = None
    angle_unit: AngleUnit | None = None
    flats: str | None = None
    darks: str | None = None
    quantity: Quantity | None = None
    format: Format | None = None
    rotation: Rotation | None = None

    def open(self, path: Path) -> Scan:
        """Open the scan."""
        from invgen.errors import CapabilityError
        from invgen.io import Scan, open_scan

        angles = None if self.angles is None else _typed_angles(self.angles, self.angle_unit)
        scan = open_scan(
            path,
            dataset=self.dataset,
            axes=self.axes,
            angles=angles,
            angles_dataset=self.angles if angles is None else None,
            angle_unit=None if self.angle_unit is None else self.angle_unit.value,
            flats=self.flats,
            darks=self.darks,
            quantity=None if self.quantity is None else self.quantity.value,
            rotation=(self.rotation or Rotation.counterclockwise).value,
            format=None if self.format is None else self.format.value,
        )
        if not isinstance(scan, Scan):
            scan.close()
            raise CapabilityError(f"{path} is an MRI scan; invgen.io.open_scan(path) reads it in Python.")
        return scan

    def located(self) -> Reading:
        """Return the same with whole paths for names of files, so that they are found from any folder."""

        def whole(name: str | None) -> str | None:
            return str(Path(name).resolve()) if name is not None and Path(name).is_file() else name

        return replace(self, angles=whole(self.angles), flats=whole(self.flats), darks=whole(self.darks))


def _typed_angles(text: str, unit: AngleUnit | None) -> np.ndarray | None:
    """Angles in radians from a range or a file; None where the text can only be the name of an array."""
    import numpy as np

    if span := re.fullmatch(r"([^:/]+):([^:/]+):(\d+)", text):
        try:
            start, stop, count = float(span[1]), float(span[2]), int(span[3])
        except ValueError:
            return None
        return np.deg2rad(np.linspace(start, stop, count, endpoint=False))
    path = Path(text)
    return _angles_of_file(path, unit) if path.is_file() else None


def _angles_of_file(path: Path, unit: AngleUnit | None) -> np.ndarray:
    import numpy as np

    from invgen.errors import FileError
    from invgen.io.angles import angles_in_radians

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array(re.split(r"[\s,;]+", path.read_text().strip()), dtype=np.float64)
    except (OSError, ValueError) as error:  # also text that is no UTF-8, and a pickle
        raise FileError(f"{path} is no list of angles: {error}") from error
    return angles_in_radians(values, stated=None, option=unit, what=str(path))


def parse_slice(text: str | None, option: str) -> slice:
    """Read ``a:b``, ``a:b:step`` or a single number; None means all."""
    if text is None:
        return slice(None)
    try:
        numbers = [int(part) if part else None for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return slice(numbers[0], numbers[0] + 1 or None)
    step = numbers[2] if len(numbers) == 3 else None
    if 2 <= len(numbers) <= 3 and (step is None or step > 0):
        return slice(*numbers)
    raise typer.BadParameter(
        f"{text!r} is no range; write a:b, a:b:step (positive) or one number, counted from 0, b left out.",
        param_hint=option,
    )


def parse_degrees(text: str | None, option: str) -> tuple[float, float] | None:
    """Read a range of angles ``a:b`` in degrees, as radians; None means all."""
    if text is None:
        return None
    try:
        start, stop = (math.radians(float(part)) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not A:B, two angles in degrees.", param_hint=option) from None
    return start, stop


def parse_number(text: str, option: str) -> float | None:
    """Read a number, or None for ``auto``."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor auto.", param_hint=option) from None


def chosen(selection: slice, count: int, what: str) -> range:
    """List the indices that a selection leaves of `count`; `what` is ``"slices"`` or ``"views"``."""
    from invgen.errors import ParameterError

    indices = range(count)[selection]
    if not indices:
        raise ParameterError(f"--{what} selects none of the {count} {what}, 0 to {count - 1}.")
    return indices
