"""Options that several commands share, and the reading of what is typed into them."""

from __future__ import annotations

import math
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_READING = "Reading the scan (what the file does not say itself)"
_CT = "Reading a CT scan"
_MRI = "Reading an MRI scan"


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
    fastmri = "fastmri"
    ismrmrd = "ismrmrd"


class TrajectoryUnit(StrEnum):
    """Units of trajectories."""

    cycles_per_pixel = "cycles/pixel"
    rad_per_pixel = "rad/pixel"
    per_m = "1/m"
    cycles_per_fov = "cycles/fov"


class Axis(StrEnum):
    """Axes of an image."""

    x = "x"
    y = "y"
    z = "z"


ScanFile = Annotated[
    Path,
    typer.Argument(
        metavar="SCAN",
        help="File of the scan. CT: Data Exchange, NXtomo, HTC 2022; MRI: fastMRI, ISMRMRD; or any HDF5, "
        "NPY, MAT or TIFF array.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Array of the projections, or of k-space.", rich_help_panel=_READING),
]
Axes = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="Order of its axes. Projections: angle,row,column or, for one slice, angle,column or "
        "column,angle. k-space: coil,y,x or slice,coil,y,x or coil,z,y,x or, with --trajectory, "
        "sample,shot,coil.",
        rich_help_panel=_READING,
    ),
]
Angles = Annotated[
    str | None,
    typer.Option(
        metavar="ANGLES",
        help="Angles of the projections, in the file's order: START:STOP:COUNT in degrees, STOP left out "
        "(0:180:60 is 0, 3, ... 177); a text or NPY file, in --angle-unit; or an array of the scan's file.",
        rich_help_panel=_CT,
    ),
]
Unit = Annotated[
    AngleUnit | None,
    typer.Option(help="Unit of the angles in files that do not state it.", rich_help_panel=_CT),
]
Flats = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Array of the frames without object (open beam); of NPY and TIFF scans, another such file.",
        rich_help_panel=_CT,
    ),
]
Darks = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Likewise, of the frames without beam.", rich_help_panel=_CT),
]
What = Annotated[
    Quantity | None,
    typer.Option(
        metavar="WHAT",
        help="What projections without flats are: transmission, I / I0; or absorption, line integrals "
        "-log(I / I0).",
        rich_help_panel=_CT,
    ),
]
Turn = Annotated[
    Rotation | None,
    typer.Option(
        help="Which way the view angles turn; clockwise is for files that count the other way: images of "
        "fan and cone beams are else blurred, of parallel beams mirrored.",
        rich_help_panel=_CT,
    ),
]
FileFormat = Annotated[
    Format | None,
    typer.Option(
        metavar="NAME",
        help="What the file is, if not what it looks like: dataexchange, nxtomo, fastmri, ismrmrd, hdf5, "
        "npy, mat or tiff.",
        rich_help_panel=_READING,
    ),
]


Trajectory = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Where the samples of k-space are: an array of the file, or a NPY or MAT file; kx + i ky, or "
        "the coordinates along one axis more.",
        rich_help_panel=_MRI,
    ),
]
UnitOfTrajectory = Annotated[
    TrajectoryUnit | None,
    typer.Option(
        "--trajectory-unit",
        metavar="UNIT",
        help="Of the trajectory: cycles/pixel (from -0.5 to 0.5, the default), rad/pixel, cycles/fov or 1/m.",
        rich_help_panel=_MRI,
    ),
]
FieldOfView = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="Of the image, in m: a length, or one for each axis (0.24,0.2 is high, wide).",
        rich_help_panel=_MRI,
    ),
]
Matrix = Annotated[
    str | None,
    typer.Option(
        metavar="HxW", help="Pixels of the image made of a trajectory's samples.", rich_help_panel=_MRI
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Array of the file, or a file, that tells what is sampled; by default what is not zero.",
        rich_help_panel=_MRI,
    ),
]
Oversampled = Annotated[
    Axis | None,
    typer.Option(
        "--remove-oversampling",
        metavar="AXIS",
        help="Axis of the readout, x or y, that is sampled twice as densely as the image needs.",
        rich_help_panel=_MRI,
    ),
]


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


def parse_choice(text: str | None, names: Collection[str], option: str) -> str | None:
    """Read one of several names."""
    if text is None or text in names:
        return text
    raise typer.BadParameter(f"{text!r} is none of {', '.join(names)}.", param_hint=option)


def chosen(selection: slice, count: int, what: str) -> range:
    """List the indices that a selection leaves of `count`; `what` is ``"slices"`` or ``"views"``."""
    from invgen.core.errors import ParameterError

    indices = range(count)[selection]
    if not indices:
        raise ParameterError(f"--{what} selects none of the {count} {what}, 0 to {count - 1}.")
    return indices
