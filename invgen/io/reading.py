"""Recognising what a file is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import h5py

from invgen.errors import FileError, InvgenError, ParameterError
from invgen.files import check_regular
from invgen.io import dataexchange, htc, nxtomo, plain
from invgen.io.contents import AngleUnit, Contents, Options
from invgen.io.hdf5 import open_hdf5
from invgen.io.raw import Rotation
from invgen.io.scan import Scan

Format = Literal["dataexchange", "nxtomo", "hdf5", "npy", "mat", "tiff"]
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def open_scan(
    path: str | Path,
    *,
    dataset: str | None = None,
    axes: str | None = None,
    angles: Any = None,
    angles_dataset: str | None = None,
    angle_unit: AngleUnit | None = None,
    flats: Any = None,
    darks: Any = None,
    quantity: Literal["transmission", "absorption"] | None = None,
    rotation: Rotation = "counterclockwise",
    format: Format | None = None,
) -> Scan:
    """Open a tomographic scan: metadata are read, projections stay in the file until they are asked for.

    Data Exchange and NXtomo files say what they hold, and so do the MAT files of the Helsinki Tomography
    Challenge 2022. Of any other HDF5, NPY, MAT or TIFF file the caller says which array holds the
    projections, the order of its axes and the angles; nothing is guessed.

    Parameters
    ----------
    path : str or Path
        The file.
    dataset : str, optional
        Array of the projections, for files that do not say it.
    axes : str, optional
        Order of its axes, as ``"angle,row,column"``; with two, as ``"column,angle"``, the array is one slice.
        Of MATLAB files it is the order that MATLAB shows.
    angles : array, shape (views,), optional
        Angles of the projections in radians, in the order of the file. They win over those of the file.
    angles_dataset : str, optional
        Array of the angles in the file (for NPY and TIFF, another such file), in its `angle_unit`.
    angle_unit : {"deg", "rad"}, optional
        Unit of the angles of the file; needed where no ``units`` attribute and no format tells.
    flats, darks : str or array, optional
        Flat and dark fields: an array of the file (for NPY and TIFF, another such file) with axes as the
        projections have, or numbers of shape (k, rows, columns), or (k, columns) for one slice.
    quantity : {"transmission", "absorption"}, optional
        What the numbers are when they need no flat fields: ``I / I0``, or line integrals ``-log(I / I0)``.
        Plain arrays without flats are absorption unless this says otherwise.
    rotation : {"counterclockwise", "clockwise"}
        Which way source and detector turn around the object as the angles of the file grow, x to the right
        and y up. "clockwise" is for files that count the other way: it negates the angles.
    format : {"dataexchange", "nxtomo", "hdf5", "npy", "mat", "tiff"}, optional
        What the file is, if not what it looks like.

    Returns
    -------
    Scan

    Raises
    ------
    FileError
        When the file cannot be read as what it is.
    DataError
        When its arrays do not fit each other.
    ParameterError
        When the caller has to say more.
    """
    path = Path(path)
    if angles is not None and angles_dataset is not None:
        raise ParameterError("give the angles once: either angles=... or angles_dataset=...")
    if angle_unit not in (None, "deg", "rad"):
        raise ParameterError(f'angle_unit should be "deg" or "rad"; got {angle_unit!r}.')
    if quantity not in (None, "transmission", "absorption"):
        raise ParameterError(f'quantity should be "transmission" or "absorption"; got {quantity!r}.')
    if format is not None and format not in get_args(Format):
        raise ParameterError(f"format should be one of {', '.join(get_args(Format))}; got {format!r}.")
    if rotation not in get_args(Rotation):
        raise ParameterError(f"rotation should be one of {', '.join(get_args(Rotation))}; got {rotation!r}.")
    options = Options(dataset, axes, angles, angles_dataset, angle_unit, flats, darks)
    check_regular(path)
    kind = format or _recognise(path)
    if kind in ("npy", "tiff") or (kind == "mat" and not h5py.is_hdf5(path)):
        read = {"npy": plain.read_npy, "tiff": plain.read_tiff, "mat": plain.read_mat}[kind]
        if kind == "mat" and dataset is None and htc.recognise(path):
            read = htc.read
        return Scan(path, read(path, options), quantity, close=lambda: None, rotation=rotation)
    file = open_hdf5(path)
    try:
        return Scan(path, _read_hdf5(file, kind, options), quantity, close=file.close, rotation=rotation)
    except InvgenError:
        file.close()
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # damage that h5py meets
        file.close()
        raise FileError(f"{path} cannot be read, the file is damaged: {error}") from error


def _recognise(path: Path) -> str:
    """Tell what a file is by its first bytes; ``"any hdf5"`` for all that only its contents tell apart."""
    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"MATLAB 7.3") or head.startswith(b"MATLAB 5.0"):
        return "mat"
    if head.startswith(_TIFF):
        return "tiff"
    if h5py.is_hdf5(path):
        return "any hdf5"
    raise FileError(
        f"{path} is no HDF5, NPY, MAT or TIFF file that can be read; its beginning is {head[:8]!r}."
    )


def _read_hdf5(file: h5py.File, kind: str, options: Options) -> Contents:
    readers: dict[str, Callable[[h5py.File, Options], Contents]] = {
        "dataexchange": dataexchange.read,
        "nxtomo": nxtomo.read,
        "hdf5": plain.read_hdf5,
    }
    if kind == "mat":
        return plain.read_hdf5(file, options, matlab=True)
    if kind in readers:
        return readers[kind](file, options)
    if options.dataset is None and dataexchange.recognise(file):
        return dataexchange.read(file, options)
    if options.dataset is None and nxtomo.recognise(file):
        return nxtomo.read(file, options)
    return plain.read_hdf5(file, options)
