"""MATLAB files of the Helsinki Tomography Challenge 2022, doi:10.5281/zenodo.7418878."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from invgen.core.errors import DataError, FileError
from invgen.core.text import quoted
from invgen.io.ct.angles import Angles
from invgen.io.ct.beam import Beam
from invgen.io.ct.contents import Contents
from invgen.io.ct.given import given_angles, given_frames
from invgen.io.ct.stack import Frames, Stack, parse_axes
from invgen.io.matlab import Value, mat_variable, mat_variables
from invgen.io.options import Options
from invgen.io.source import Container, Source
from invgen.io.units import converted, is_length

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "mat"

_STRUCTS = ("CtDataFull", "CtDataLimited")
_GRID = (512, 512)  # of the challenge's images and segmentations, pixels of the effective size
_OFF = 1e-3  # relative difference of lengths that should agree


def recognize(source: Source, options: Options) -> bool:
    """Whether the file has one of the challenge's structs, and no array is named."""
    if source.is_hdf5 or options.dataset is not None:
        return False
    return not mat_variables(source.path).keys().isdisjoint(_STRUCTS)


def read(source: Source, options: Options) -> Contents:
    """Read a struct of the challenge: a sinogram, and the parameters that describe it.

    Its view angles, in degrees, and the order of its columns are those of `invgen.operators.FanBeam`:
    reconstructions of the full scans then have the orientation of the segmentations that come with the data
    (intersection over union 0.997), which no mirror image, turn or other sense of rotation has (at most 0.80
    or, for the other sense turned and mirrored, 0.97, blurred).

    Raises
    ------
    FileError
        When the file is damaged, or a field is missing or of another kind.
    DataError
        When fields contradict each other.
    """
    path = source.path
    variables = mat_variables(path)
    found = [name for name in _STRUCTS if name in variables]
    if not found:
        raise FileError(f"{path} has none of the challenge's structs, {' and '.join(_STRUCTS)}.")
    name = found[0]
    notes: tuple[str, ...] = ()
    if len(found) > 1:
        notes = (f"the file holds {' and '.join(found)}; {name} is read",)
    scan = _Struct(path, name, mat_variable(path, name))
    parameters = scan.struct("parameters")
    unit = parameters.text("distanceUnit")
    if converted((1.0, unit), "m") is None:
        raise DataError(f"{parameters.name}/distanceUnit is {quoted(unit)}, which is no unit of length.")
    beam = Beam("fan", parameters.length("distanceSourceOrigin"), parameters.length("distanceSourceDetector"))
    spacing = parameters.length("pixelSizePost")
    pixel_size = spacing / beam.magnification
    effective = parameters.optional_length("effectivePixelSizePost")
    if effective is not None and abs(effective / pixel_size - 1) > _OFF:
        raise DataError(
            f"{parameters.name}: effectivePixelSizePost is {effective:g} {unit}, but detector pixels of "
            f"{spacing:g} {unit} at a magnification of {beam.magnification:g} make {pixel_size:g} {unit}."
        )
    sinogram = scan.array("sinogram")
    what = f"{name}/sinogram"
    axes = parse_axes(options.axes or "angle,column", sinogram.shape, what)
    if "row" in axes:
        raise DataError(f"{what} should have the axes angle and column; its shape is {sinogram.shape}.")
    stack = Stack(sinogram, axes, what)
    columns = parameters.optional_length("numDetectorsPost")
    if columns is not None and columns != stack.columns:
        raise DataError(
            f"{what} has {stack.columns} columns, and {parameters.name}/numDetectorsPost says {columns:g}."
        )

    angles = given_angles(source, options, stack.frames)
    if angles is None:
        angles = Angles(parameters.array("angles"), "deg", f"{parameters.name}/angles")
    return Contents(
        format="HTC 2022",
        dataset=what,
        projections=Frames(stack),
        flats=given_frames(options.flats, source, stack, "flats"),
        darks=given_frames(options.darks, source, stack, "darks"),
        angles=angles.radians(options.angle_unit),
        counts=False,
        line_integrals=True,
        pixel_size=pixel_size,
        unit=unit,
        beam=beam,
        image_shape=_GRID,
        notes=notes,
    )


class _Struct:
    """A MATLAB struct of one element, whose fields are not trusted."""

    def __init__(self, path: Path, name: str, value: Value):
        if not isinstance(value, dict):
            raise FileError(f"{path}: {name} should be a struct of one element.")
        self._path, self.name, self._fields = path, name, value

    def _field(self, name: str) -> Value:
        if name not in self._fields:
            raise FileError(
                f"{self._path}: {self.name} has no field {name}; it should, as in the challenge's files. "
                f"Its fields: {', '.join(self._fields)}."
            )
        return self._fields[name]

    def struct(self, name: str) -> _Struct:
        return _Struct(self._path, f"{self.name}/{name}", self._field(name))

    def array(self, name: str) -> np.ndarray:
        value = self._field(name)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "uif" or value.size == 0:
            raise self._unlike(name, "real numbers", value)
        return value

    def length(self, name: str) -> float:
        value = self.array(name).reshape(-1)
        if value.size != 1 or not is_length(float(value[0])):
            raise self._unlike(name, "a positive number", value)
        return float(value[0])

    def optional_length(self, name: str) -> float | None:
        return self.length(name) if name in self._fields else None

    def text(self, name: str) -> str:
        value = self._field(name)
        if not isinstance(value, str):
            raise self._unlike(name, "a text", value)
        return value

    def _unlike(self, name: str, expected: str, value: Value) -> FileError:
        found = "a struct or a cell"
        if isinstance(value, str):
            found = f"the text {value[:40]!r}"
        elif isinstance(value, np.ndarray):
            found = f"{value.reshape(-1)[0]}" if value.size == 1 else f"{value.dtype} of shape {value.shape}"
        return FileError(f"{self._path}: {self.name}/{name} should be {expected}; it is {found}.")
