"""Opening a scan: what a file is, and which reader it has.

A reader is one file. Formats that can be recognized have three names in it::

    CONTAINER: Container = "hdf5"                                 # what such files are written as
    def recognize(source: Source, options: Options) -> bool: ...  # by their contents
    def read(source: Source, options: Options) -> Contents: ...   # metadata at once, samples on demand

and are added by one line of `READERS`. `Contents` are those of `invgen.io.ct.contents` or of
`invgen.io.mri.contents`; scans, problems and commands are made of them alone. What no reader recognizes is a
plain array, which the caller describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from invgen.core.errors import FileError, InvgenError, ParameterError
from invgen.core.files import check_regular
from invgen.core.text import brief
from invgen.io.ct import arrays as ct_arrays
from invgen.io.ct import dataexchange, htc, nikon, nxtomo
from invgen.io.ct.contents import Contents as CTContents
from invgen.io.ct.scan import Scan
from invgen.io.mri import arrays as mri_arrays
from invgen.io.mri import bart, fastmri, ismrmrd
from invgen.io.mri.cfl import data_file
from invgen.io.mri.contents import Contents as MRIContents
from invgen.io.mri.named import names_kspace
from invgen.io.mri.scan import MRIScan
from invgen.io.options import AngleUnit, Divided, Options, ReadoutAxis, Rotation, TrajectoryUnit
from invgen.io.source import Container, Source, container_of, is_series

__all__ = ["FORMATS", "READERS", "open_scan"]


class Reader(Protocol):
    """Module of a format that can be recognized."""

    CONTAINER: Container

    def recognize(self, source: Source, options: Options) -> bool:
        """Whether a file of that container is of the format."""

    def read(self, source: Source, options: Options) -> CTContents | MRIContents:
        """Read metadata, and how samples are read."""


#: Readers by the name of their format, in the order in which they are asked.
READERS: dict[str, Reader] = {
    "dataexchange": dataexchange,
    "nxtomo": nxtomo,
    "fastmri": fastmri,
    "ismrmrd": ismrmrd,
    "htc": htc,
    "nikon": nikon,
    "bart": bart,
}

#: Containers of plain arrays.
_PLAIN: tuple[Container, ...] = ("hdf5", "npy", "mat", "tiff")

#: What a file can be stated to be: one of these formats, or plain arrays in a container.
FORMATS: tuple[str, ...] = tuple(dict.fromkeys((*READERS, *_PLAIN)))


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
    quantity: Divided | None = None,
    rotation: Rotation = "counterclockwise",
    trajectory: Any = None,
    trajectory_unit: TrajectoryUnit | None = None,
    field_of_view: float | Sequence[float] | None = None,
    matrix: tuple[int, ...] | None = None,
    mask: Any = None,
    remove_oversampling: ReadoutAxis | None = None,
    kspace_center: Literal["middle", "corner"] | Sequence[int] | None = None,
    image_center: Literal["middle", "corner"] | None = None,
    index: int | Sequence[int] | None = None,
    follow_links: bool = False,
    format: str | None = None,
) -> Scan | MRIScan:
    """Open a scan: metadata are read; projections and k-space stay in the file until they are asked for.

    Data Exchange and NXtomo files describe themselves, and so do the MAT files of the Helsinki Tomography
    Challenge 2022, Nikon's ``.xtekct``, and MRI scans of fastMRI, ISMRMRD and BART (``x.cfl`` and ``x.hdr``,
    by either name or as ``x``). Of any other HDF5, NPY, MAT or TIFF file the caller states which array holds
    the projections, the order of its axes and the angles, or which holds k-space and the order of its axes;
    nothing is guessed.

    Parameters
    ----------
    path : str or Path
        The file; of TIFF files also a folder of one image each, or a pattern of their names such as
        ``"proj/proj_*.tif"``, in their natural order.
    dataset : str, optional
        Array of the projections or of k-space, for files that do not state it; of an ISMRMRD file with
        several scans, the group.
    axes : str, optional
        Order of its axes, as ``"angle,row,column"``; with two, as ``"column,angle"``, the array is one slice.
        Of k-space as ``"coil,y,x"``, ``"slice,coil,y,x"``, ``"coil,z,y,x"`` (a volume), or
        ``"sample,shot,coil"`` along a trajectory; ``complex`` is an axis of length 2, real and imaginary
        part, ``repetition`` one more. Of MATLAB files it is the order that MATLAB shows.
    angles : array, shape (views,), optional
        Angles of the projections in radians, in the order of the file. They replace those of the file.
    angles_dataset : str, optional
        Angles in their `angle_unit`: an array of the file, else another file, ``"FILE"`` or
        ``"FILE:DATASET"``, or a text of numbers.
    angle_unit : {"deg", "rad"}, optional
        Unit of the angles of the file; needed where neither a ``units`` attribute nor the format states it.
    flats, darks : str or array, optional
        Flat and dark fields: an array of the file, else another file of any format that scans have,
        ``"FILE"`` or ``"FILE:DATASET"``, or numbers: of shape (k, rows, columns), or (k, columns) for one
        slice, or one frame. Their axes are in the order of the projections'.
    quantity : {"transmission", "absorption"}, optional
        What the numbers are when they need no flat fields: ``I / I0``, or line integrals ``-log(I / I0)``.
        Plain arrays without flats are absorption unless this states otherwise.
    rotation : {"counterclockwise", "clockwise"}
        Which way source and detector turn around the object as the angles of the file grow, x to the right
        and y up. "clockwise" is for files that count the other way: it negates the angles.
    trajectory : str or array, optional
        Of k-space with the axes sample and shot: an array of the file, or a NPY or MAT file, or numbers.
        Complex ``kx + i ky``, or (kx, ky) or (kx, ky, kz) along one more axis; its other axes as those of
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
    kspace_center : {"middle", "corner"} or sequence of int, optional
        Entry of the zero frequency of Cartesian k-space along each axis, in the order of the image's axes: of
        plain arrays counted from 0, where entries beyond a side that is shorter are not measured; of ISMRMRD
        files the encoding steps and the sample of a readout. By default as the file states, or the middle,
        and where the energy peaks if that contradicts it.
    image_center : {"middle", "corner"}, optional
        Where the image's origin is in plain arrays of Cartesian k-space: "corner" as ``fft2`` has it, without
        ``ifftshift``. By default the middle, unless the object then lies at the borders.
    index : int or sequence of int, optional
        Which entry is read of an array that has more axes than one scan: energy, echo, time, contrast or
        phase, as in ``axes="energy,angle,row,column"``; counted from 0, one number for each such axis.
    follow_links : bool
        Whether links of HDF5 files and virtual datasets are followed out of the folder of the scan, too.
    format : str, optional
        What the file is, where that is not recognized: a format ("dataexchange", "nxtomo", "fastmri",
        "ismrmrd", "htc", "nikon", "bart"), or plain arrays in a container ("hdf5", "npy", "mat", "tiff").

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
        When the caller has to state more, or states what does not apply to such a scan.
    """
    path = data_file(Path(path))
    options = Options(
        dataset=dataset,
        axes=axes,
        angles=angles,
        angles_dataset=angles_dataset,
        angle_unit=angle_unit,
        flats=flats,
        darks=darks,
        quantity=quantity,
        rotation=rotation,
        trajectory=trajectory,
        trajectory_unit=trajectory_unit,
        field_of_view=field_of_view,
        matrix=matrix,
        mask=mask,
        remove_oversampling=remove_oversampling,
        kspace_center=kspace_center,
        image_center=image_center,
        index=index,
        follow_links=follow_links,
    )
    if format is not None and format not in FORMATS:
        raise ParameterError(f"format should be one of {', '.join(FORMATS)}; got {format!r}.")
    source = Source(path, _container(path, format), follow_links)
    try:
        contents = _contents(source, options, format)
        if stated := options.beyond(contents.options):
            raise ParameterError(
                f"{path} is {contents.kind}, to which {', '.join(stated)} does not apply; leave it out."
            )
        if isinstance(contents, MRIContents):
            return MRIScan(path, contents, source)
        return Scan(
            path,
            contents,
            options.quantity,
            source,
            rotation=options.rotation,
            angle_unit=options.angle_unit,
        )
    except BaseException:
        source.close()
        raise


def _container(path: Path, format: str | None) -> Container:
    """What the file is written as: as stated, else as recognized."""
    stated = READERS[format].CONTAINER if format in READERS else format
    for container in get_args(Container):
        if stated == container and not is_series(path):
            check_regular(path)
            return container
    return container_of(path)


def _contents(source: Source, options: Options, format: str | None) -> CTContents | MRIContents:
    """Contents of the file, by the reader that it has."""
    try:
        if source.container != "bart" and options.axes is not None and names_kspace(options.axes):
            return mri_arrays.read(source, options)
        if format in READERS:
            return READERS[format].read(source, options)
        if format != "hdf5":  # as which plain arrays are read, whatever else the file looks like
            for reader in READERS.values():
                if source.container == reader.CONTAINER and reader.recognize(source, options):
                    return reader.read(source, options)
        return ct_arrays.read(source, options)
    except InvgenError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if not source.is_hdf5:
            raise
        # numbers that contradict each other
        raise FileError(f"{source.path} cannot be read, the file is damaged: {brief(error)}") from error
