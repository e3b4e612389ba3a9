"""The XML header of ISMRMRD, which fastMRI's files also have."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from invgen.core.errors import FileError
from invgen.core.text import brief
from invgen.io.hdf5 import Dataset, Group, find_object, text_value

__all__ = ["Encoding", "Grid", "Header", "Limit", "parse_header", "read_header"]

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"
_MAX_BYTES = 2**23
_MAX_SIZE = 2**16  # the schema has sizes as unsigned short


@dataclass(frozen=True)
class Grid:
    """A matrix and its field of view in mm, in the order x (readout), y, z; a length of zero is unstated."""

    matrix: tuple[int, int, int]
    field_of_view: tuple[float, float, float]

    def pixel(self, axis: int) -> float:
        """Size of a pixel along x, y or z (0, 1, 2); zero where it is not stated."""
        return self.field_of_view[axis] / self.matrix[axis]


@dataclass(frozen=True)
class Limit:
    """Range of a counter, and its value at the center of k-space."""

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True)
class Encoding:
    """How k-space was encoded: the grid that was measured, and that of the image."""

    encoded: Grid
    recon: Grid
    limits: dict[str, Limit]  # those that are stated, by the counter's name
    trajectory: str


@dataclass(frozen=True)
class Header:
    """The parts of the header that are used."""

    encodings: tuple[Encoding, ...]
    noise_bandwidth: float | None  # relativeReceiverNoiseBandwidth


def read_header(file: Group, name: str) -> Header:
    """Read the header in a dataset of a file.

    Raises
    ------
    FileError
        When it is missing, or is no such header.
    """
    what = f"{file.file.filename}: the header {name!r}"
    dataset = find_object(file, name)
    if not isinstance(dataset, Dataset):
        raise FileError(f"{what} is missing: without it the matrix and the field of view are not known.")
    if dataset.dtype.itemsize > _MAX_BYTES:
        raise FileError(f"{what} claims {dataset.dtype.itemsize} bytes.")
    text = text_value(dataset)
    if text is None:
        raise FileError(
            f"{what} should be one text; it holds {brief(dataset.dtype)} of shape {dataset.shape}."
        )
    return parse_header(text, what)


def parse_header(text: str, what: str) -> Header:
    """Parse a header; `what` names it in messages.

    Raises
    ------
    FileError
        When it is no XML, has a document type (entities can expand without end), or lacks what is needed.
    """
    if len(text) > _MAX_BYTES:
        raise FileError(f"{what} has {len(text)} characters; no header is that long.")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileError(f"{what} has a document type or entities, which are refused; no ISMRMRD header has.")
    try:
        root = ElementTree.fromstring(text.rstrip("\0"))
    except (ElementTree.ParseError, ValueError) as error:
        raise FileError(f"{what} is no XML: {error}.") from error
    header = _Element(root, what)
    encodings = tuple(_encoding(element) for element in header.all("encoding"))
    if not encodings:
        raise FileError(f"{what} has no encoding; it should, by ISMRMRD's schema.")
    system = header.optional("acquisitionSystemInformation")
    bandwidth = system and system.optional("relativeReceiverNoiseBandwidth")
    return Header(encodings, bandwidth.number() if bandwidth else None)


class _Element:
    """An element whose parts are looked up by name, with or without the schema's namespace."""

    def __init__(self, element: ElementTree.Element, where: str):
        self._element, self._where = element, where

    def all(self, name: str) -> list[_Element]:
        return [
            _Element(child, f"{self._where}, {name}")
            for child in self._element
            if isinstance(child.tag, str) and child.tag.removeprefix(_NAMESPACE) == name
        ]

    def optional(self, name: str) -> _Element | None:
        found = self.all(name)
        return found[0] if found else None

    def one(self, name: str) -> _Element:
        found = self.optional(name)
        if found is None:
            raise FileError(f"{self._where} has no {name}; it should, by ISMRMRD's schema.")
        return found

    def parts(self) -> list[tuple[str, _Element]]:
        names = [child.tag.removeprefix(_NAMESPACE) for child in self._element if isinstance(child.tag, str)]
        return [(name, self.one(name)) for name in names]

    def text(self) -> str:
        return (self._element.text or "").strip()

    def number(self) -> float:
        try:
            value = float(self.text())
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise FileError(
                f"{self._where} should be a number that is not negative; it is {self.text()[:40]!r}."
            )
        return value

    def whole(self, least: int) -> int:
        value = self.number()
        if value != int(value) or not least <= value <= _MAX_SIZE:
            raise FileError(
                f"{self._where} should be a whole number from {least} to {_MAX_SIZE}; "
                f"it is {self.text()[:40]!r}."
            )
        return int(value)


def _encoding(element: _Element) -> Encoding:
    limits = element.optional("encodingLimits")
    trajectory = element.optional("trajectory")
    return Encoding(
        encoded=_grid(element.one("encodedSpace")),
        recon=_grid(element.one("reconSpace")),
        limits={} if limits is None else {name: _limit(part) for name, part in limits.parts()},
        trajectory="cartesian" if trajectory is None else trajectory.text().lower() or "cartesian",
    )


def _grid(element: _Element) -> Grid:
    matrix, size = element.one("matrixSize"), element.one("fieldOfView_mm")
    return Grid(
        matrix=(matrix.one("x").whole(1), matrix.one("y").whole(1), matrix.one("z").whole(1)),
        field_of_view=(size.one("x").number(), size.one("y").number(), size.one("z").number()),
    )


def _limit(element: _Element) -> Limit:
    return Limit(*(element.one(name).whole(0) for name in ("minimum", "maximum", "center")))
