"""HDF5 files of ISMRMRD: Inati et al. (2017), ISMRM Raw data format: a proposed standard for MRI raw data."""

from __future__ import annotations

import numpy as np

from invgen.core.errors import FileError
from invgen.io.hdf5 import Dataset, Group, find_object, walk
from invgen.io.mri.acquisitions import Acquisitions, is_table
from invgen.io.mri.cartesian import Lines
from invgen.io.mri.contents import Contents, pixels
from invgen.io.mri.header import Encoding, read_header
from invgen.io.mri.measurement import Measurement
from invgen.io.mri.noncartesian import Paths, axes_of
from invgen.io.options import Options
from invgen.io.source import Container, Source

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"


def recognize(source: Source, options: Options) -> bool:
    """Whether a group of the file, or the one that is named, has readouts or a header of ISMRMRD."""
    return _group(source, options) is not None


def _group(source: Source, options: Options) -> Group | None:
    """The first group with readouts or a header, or the one that is named; None where there is none."""
    file, name = source.hdf5, options.dataset
    groups = [find_object(file, name)] if name is not None else [file, *walk(file)]
    for group in groups:
        if isinstance(group, Group) and (_has(group, "data") or _has(group, "xml")):
            return group
    return None


def _has(group: Group, part: str) -> bool:
    found = find_object(group, part)
    return is_table(found) if part == "data" else isinstance(found, Dataset)


def read(source: Source, options: Options) -> Contents:
    """Read the readouts of a group.

    Axes are (z,) y, x: readouts lie along x, ``kspace_encode_step_1`` along y and step 2 along z. Readouts
    that differ in repetition, contrast, phase or set are of separate images; averages are averaged, and
    segments joined. Slices are in the order of their positions, where those are stated.

    Raises
    ------
    FileError
        When header or readouts are missing, or are not those of ISMRMRD.
    DataError
        When readouts and header contradict each other.
    """
    group = _group(source, options)
    if group is None:
        raise FileError(f"{source.path} has no group with the header and the readouts of ISMRMRD.")
    header = read_header(group, "xml")
    data = find_object(group, "data")
    if not isinstance(data, Dataset):
        raise FileError(f"{source.path}: {group.name} has a header and no readouts, the dataset 'data'.")
    measurement = Measurement(Acquisitions(data), header)
    encoding = measurement.encoding
    grid = _grid(encoding, int(measurement.table["kspace_encode_step_2"][measurement.imaging].max()))
    axes: tuple[int, ...] = (2, 1, 0)[-len(grid) :]
    cartesian, of_axes = encoding.trajectory in ("cartesian", "epi"), tuple[str, ...]()
    if not cartesian:
        axes, of_axes = axes_of(measurement, axes)
        grid = tuple(encoding.encoded.matrix[axis] for axis in axes)
    image_shape = tuple(_wanted(encoding, axis) for axis in axes)
    pixel_size = tuple(encoding.encoded.pixel(axis) for axis in axes)
    reader: Lines | Paths
    if cartesian:
        reader = Lines(measurement, grid, image_shape[-1], options.kspace_center)
    else:
        size = tuple(encoding.encoded.field_of_view[axis] / 1000 for axis in axes)
        reader = Paths(measurement, grid, options.trajectory_unit or "cycles/pixel", size, axes)
    return Contents(
        format="ismrmrd",
        dataset=group.name,
        slices=len(measurement.slices),
        coils=measurement.coils,
        trajectory=encoding.trajectory,
        encoded_shape=grid,
        image_shape=image_shape,
        dtype=np.dtype(np.complex64),
        read=reader.read,
        frames=measurement.frame_names,
        pixel_size=pixel_size if min(pixel_size) > 0 else None,
        thickness=encoding.recon.pixel(2) or None,
        orientation=measurement.orientation if axes[-2:] == (1, 0) else None,
        oversampling=grid[-1] / image_shape[-1],
        has_noise_scan=measurement.has_noise,
        has_calibration=bool(measurement.calibration.any()) and isinstance(reader, Lines),
        notes=(*measurement.notes, *of_axes, *reader.notes, *_interpolated(encoding, axes)),
        contradictions=reader.found if isinstance(reader, Lines) else (),
        options=("trajectory_unit", "kspace_center"),
    )


def _grid(encoding: Encoding, last: int) -> tuple[int, ...]:
    """Matrix that was measured, (D, H, W) or (H, W); `last` is the largest encoding step 2."""
    x, y, z = encoding.encoded.matrix
    limit = encoding.limits.get("kspace_encoding_step_2")
    encoded = z > 1 and (last > 0 or limit is None or limit.maximum > 0)
    return (z, y, x) if encoded else (y, x)


def _wanted(encoding: Encoding, axis: int) -> int:
    """Pixels of the image along x, y or z: the header's field of view, in pixels that were measured."""
    most, pixel = encoding.encoded.matrix[axis], encoding.encoded.pixel(axis)
    field_of_view = encoding.recon.field_of_view[axis]
    if pixel > 0 and field_of_view > 0:
        return pixels(field_of_view, pixel, most)
    return min(encoding.recon.matrix[axis], most)


def _interpolated(encoding: Encoding, axes: tuple[int, ...]) -> list[str]:
    """Notes on axes along which the header's image has other pixels than those that were measured."""
    notes = []
    for axis in axes:
        measured, wanted = encoding.encoded.pixel(axis), encoding.recon.pixel(axis)
        if measured > 0 and wanted > 0 and abs(wanted / measured - 1) > 0.01:
            notes.append(
                f"the header's image has pixels of {wanted:.4g} mm along {'xyz'[axis]}, and those measured "
                f"have {measured:.4g} mm: images are not interpolated"
            )
    return notes
