"""Recognising what a file is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import h5py

from invgen.core.errors import FileError, InvgenError, ParameterError
from invgen.core.files import check_regular
from invgen.io.ct import dataexchange, htc, nxtomo, plain
from invgen.io.ct.contents import AngleUnit, Contents, Options
from invgen.io.ct.raw import Rotation
from invgen.io.ct.scan import Scan
from invgen.io.hdf5 import open_hdf5
from invgen.io.mri import MRIScan, arrays, fastmri, ismrmrd
from invgen.io.mri.arrays import ArrayOptions
from invgen.io.mri.contents import Contents as KSpaceContents
from invgen.io.mri.named import names_kspace
from invgen.io.mri.trajectory import Unit

Format = Literal["dataexchange", "nxtomo", "hdf5", "npy", "mat", "tiff", "fastmri", "ismrmrd"]
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
    trajectory: Any = None,
    trajectory_unit: Unit | None = None,
    field_of_view: float | Sequence[float] | None = None,
    matrix: tuple[int, ...] | None = None,
    mask: Any = None,
    remove_oversampling: Literal["x", "y", "z"] | None = None,
    format: Format | None = None,
) -> Scan | MRIScan:
    """Open a scan: metadata are read; projections and k-space stay in the file until they are asked for.

    Data Exchange and NXtomo files say what they hold, and so do the MAT files of the Helsinki Tomography
    Challenge 2022, and MRI scans of fastMRI and ISMRMRD. Of any other HDF5, NPY, MAT or TIFF file the caller
    says which array holds the projections, the order of its axes and the angles, or which holds k-space and
    the order of its axes; nothing is guessed.

    Parameters
    ----------
    path : str or Path
        The file.
    dataset : str, optional
        Array of the projections or of k-space, for files that do not say it; of an ISMRMRD file with several
        scans, the group.
    axes : str, optional
        Order of its axes, as ``"angle,row,column"``; with two, as ``"column,angle"``, the array is one slice.
        Of k-space as ``"coil,y,x"``, ``"slice,coil,y,x"``, ``"coil,z,y,x"`` (a volume), or
        ``"sample,shot,coil"`` along a trajectory; ``complex`` is an axis of length 2, real and imaginary
        part, ``repetition`` one more. Of MATLAB files it is the order that MATLAB shows.
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
    trajectory : str or array, optional
        Of k-space with the axes sample and shot: an array of the file, or a NPY or MAT file, or numbers.
        Complex ``kx + i ky``, or (kx, ky) or (kx, ky, kz) along an axis more; its other axes as those of
        k-space.
    trajectory_unit : {"cycles/pixel", "rad/pixel", "1/m", "cycles/fov"}, optional
        Of the given trajectory, or of that of an ISMRMRD file; by default cycles per pixel, -0.5 to 0.5.
    field_of_view : number, or one for each axis of the image, optional
        Of the image of a plain array of k-space, in m. A trajectory in 1/m needs it.
    matrix : tuple of int, optional
        Shape of the image that is made of samples along a trajectory; by default the smallest that resolves
        a trajectory in 1/m or cycles per field of view.
    mask : str or array, optional
        What is sampled of plain Cartesian k-space: an array of the file, or another file, with its axes in
        the order of k-space's, or with one entry for each column. By default what is not zero in all coils.
    remove_oversampling : {"x", "y", "z"}, optional
        The readout of plain Cartesian k-space that is sampled twice as densely as the image needs: the outer
        half of the image along it is cropped, exactly.
    format : {"dataexchange", "nxtomo", "hdf5", "npy", "mat", "tiff", "fastmri", "ismrmrd"}, optional
        What the file is, if not what it looks like.

    Returns
    -------
    Scan or MRIScan

    Raises
    ------
    FileError
        When the file cannot be read as what it is.
    DataError
        When its arrays do not fit each other.
    ParameterError
        When the caller has to say more, or says what does not apply to such a scan.
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
    if trajectory_unit not in (None, *get_args(Unit)):
        raise ParameterError(
            f"trajectory_unit should be one of {', '.join(get_args(Unit))}; got {trajectory_unit!r}."
        )
    projections = Options(dataset, axes, angles, angles_dataset, angle_unit, flats, darks)
    kspace = ArrayOptions(
        dataset, axes, trajectory, trajectory_unit, field_of_view, matrix, mask, remove_oversampling
    )
    check_regular(path)
    contents, close = _read(path, format or _recognise(path), projections, kspace)
    try:
        if isinstance(contents, KSpaceContents):
            stated = projections.given() + ["quantity"] * (quantity is not None)
            _refuse(path, "an MRI scan", stated + ["rotation"] * (rotation != "counterclockwise"))
            if contents.format != "kspace":
                own = {"ismrmrd": ["trajectory_unit"]}.get(contents.format, [])
                stated = [name for name in kspace.given() if name not in own]
                _refuse(path, f"a scan of the format {contents.format}", stated)
            return MRIScan(path, contents, close)
        _refuse(path, "a CT scan", kspace.given())
        return Scan(path, contents, quantity, close, rotation=rotation)
    except InvgenError:
        close()
        raise


def _refuse(path: Path, kind: str, options: list[str]) -> None:
    if options:
        raise ParameterError(f"{path} is {kind}, to which {', '.join(options)} does not apply; leave it out.")


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


def _read(
    path: Path, kind: str, options: Options, kspace: ArrayOptions
) -> tuple[Contents | KSpaceContents, Callable[[], None]]:
    """Contents of a file, and what closes it."""
    if kind in ("npy", "tiff") or (kind == "mat" and not h5py.is_hdf5(path)):
        return _read_file(path, kind, options, kspace), lambda: None
    file = open_hdf5(path)
    try:
        return _read_hdf5(file, kind, options, kspace), file.close
    except InvgenError:
        file.close()
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # damage that h5py meets
        file.close()
        raise FileError(f"{path} cannot be read, the file is damaged: {error}") from error


def _read_file(path: Path, kind: str, options: Options, kspace: ArrayOptions) -> Contents | KSpaceContents:
    if kspace.axes is not None and names_kspace(kspace.axes):
        if kind == "tiff":
            raise FileError(f"{path}: TIFF has no complex numbers; save k-space as NPY, HDF5 or MAT.")
        return (arrays.read_npy if kind == "npy" else arrays.read_mat)(path, kspace)
    if kind == "mat" and options.dataset is None and htc.recognise(path):
        return htc.read(path, options)
    return {"npy": plain.read_npy, "tiff": plain.read_tiff, "mat": plain.read_mat}[kind](path, options)


def _read_hdf5(
    file: h5py.File, kind: str, options: Options, kspace: ArrayOptions
) -> Contents | KSpaceContents:
    unnamed = options.dataset is None
    if kspace.axes is not None and names_kspace(kspace.axes):
        return arrays.read_hdf5(file, kspace, matlab=kind == "mat")
    if kind == "mat":
        return plain.read_hdf5(file, options, matlab=True)
    if kind == "dataexchange" or (kind == "any hdf5" and unnamed and dataexchange.recognise(file)):
        return dataexchange.read(file, options)
    if kind == "nxtomo" or (kind == "any hdf5" and unnamed and nxtomo.recognise(file)):
        return nxtomo.read(file, options)
    if kind == "fastmri" or (kind == "any hdf5" and unnamed and fastmri.recognise(file)):
        return fastmri.read(file)
    if kind in ("ismrmrd", "any hdf5") and (group := ismrmrd.recognise(file, options.dataset)):
        return ismrmrd.read(file, group, kspace.trajectory_unit)
    if kind == "ismrmrd":
        raise FileError(f"{file.filename} has no group with the header and the readouts of ISMRMRD.")
    return plain.read_hdf5(file, options)
