"""MATLAB files of version 5, from its published format ("MAT-File Format", MathWorks).

SciPy's reader is not made for damaged files: a wrong byte can end the process. Here every length that a file
states is checked against the bytes that are there, and what does not fit raises.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from invgen.core.errors import FileError
from invgen.core.text import printable

__all__ = ["Value", "describe_variables", "mat_variable", "mat_variables"]

Value = np.ndarray | str | dict[str, "Value"] | None  # None: a cell, an object, a struct array, ...

_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_STRUCT, _CHAR, _OPAQUE = 2, 4, 17
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 0x08
_HEADER = 128
_HEAD = 1 << 12  # bytes that hold the shape and the name of a variable
_MAX_BYTES = 1 << 34
_MAX_DEPTH = 16  # of structs in structs

Order = Literal["<", ">"]


class _Damaged(Exception):
    """The contents of a file contradict what it states of them."""


def mat_variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables.

    Raises
    ------
    FileError
        When the file is damaged.
    """
    with path.open("rb") as file:
        return {name: shape for name, shape, _ in _walk(path, file)}


def describe_variables(path: Path, limit: int = 20) -> str:
    """Names and shapes of the variables, as many as a message takes.

    Raises
    ------
    FileError
        When the file is damaged.
    """
    found = [f"{printable(name, 40)} {shape}" for name, shape in mat_variables(path).items()]
    return ", ".join([*found[:limit], *(["..."] if len(found) > limit else [])])


def mat_variable(path: Path, name: str) -> Value:
    """Read a variable: an array as MATLAB shows it, a text, or a struct of such; None for anything else.

    Raises
    ------
    FileError
        When the file is damaged, or has no such variable.
    """
    with path.open("rb") as file:
        for found, _, (start, order) in _walk(path, file):
            if found == name:
                try:
                    file.seek(start)
                    return _value(_content(file, order), order, _MAX_DEPTH)
                except (_Damaged, zlib.error, ValueError) as error:
                    raise _damaged(path, error) from error
    raise FileError(f"{path} has no array {name!r}; leave out the dataset to see what is there.")


def _walk(path: Path, file: BinaryIO) -> Iterator[tuple[str, tuple[int, ...], tuple[int, Order]]]:
    """Name, shape and place of each variable."""
    try:
        header = file.read(_HEADER)
        if header[126:] not in (b"IM", b"MI"):
            raise _Damaged("its header states no byte order")
        order: Order = "<" if header[126:] == b"IM" else ">"
        size, start = path.stat().st_size, _HEADER
        while start < size:
            file.seek(start)
            length = _number(memoryview(file.read(8)), 4, order)
            if start + 8 + length > size:
                raise _Damaged("a variable ends after the file: the copy was cut short, copy it again")
            file.seek(start)
            _, shape, name, _ = _head(_content(file, order, _HEAD), order)
            yield name, shape, (start, order)
            start += 8 + length
    except (_Damaged, zlib.error, ValueError) as error:
        raise _damaged(path, error) from error


def _content(file: BinaryIO, order: Order, most: int | None = None) -> memoryview:
    """Content of the matrix element that begins here, unpacked: all of it, or its first `most` bytes."""
    tag = memoryview(file.read(8))
    kind, length = _number(tag, 0, order), _number(tag, 4, order)
    unpacker = None
    if kind == _COMPRESSED:
        packed, unpacker = file.read(length), zlib.decompressobj()
        tag = memoryview(unpacker.decompress(packed, 8))
        kind, length = _number(tag, 0, order), _number(tag, 4, order)
    if kind != _MATRIX:
        raise _Damaged(f"it has a variable of the unknown kind {kind}")
    wanted = length if most is None else min(length, most)
    if wanted > _MAX_BYTES:
        raise _Damaged(f"a variable claims {length:.3g} bytes")
    if unpacker is None:
        content = file.read(wanted)
    else:
        content = unpacker.decompress(unpacker.unconsumed_tail, max(wanted, 1))  # 0 would mean no limit
        if most is None:
            unpacker.decompress(unpacker.unconsumed_tail, 1)  # to the checksum, which is tested
            if not unpacker.eof:
                raise _Damaged("a variable is longer than it says, or its end is missing")
    if len(content) < wanted:
        raise _Damaged("a variable is shorter than it says")
    return memoryview(content)


def _head(content: memoryview, order: Order) -> tuple[int, tuple[int, ...], str, int]:
    """Flags and class, shape, and name of a matrix, and where its data begin."""
    flags, at = _integers(content, 0, order)
    lengths = np.zeros(2, "i4")
    if not (flags.size and flags[0] & 0xFF == _OPAQUE):  # an object, which has no shape
        lengths, at = _integers(content, at, order)
    kind, name, at = _element(content, at, order)
    if flags.size != 2 or not 2 <= lengths.size <= 32 or (lengths < 0).any() or kind not in (1, 16):
        raise _Damaged("a variable has no shape or no name")
    return int(flags[0]), tuple(lengths.tolist()), bytes(name).decode("utf-8"), at


def _value(content: memoryview, order: Order, depth: int) -> Value:
    if not content:  # how an empty field is written
        return np.zeros((0, 0))
    if depth == 0:
        raise _Damaged(f"structs lie in structs more than {_MAX_DEPTH} deep")
    flags, shape, _, at = _head(content, order)
    kind, count = flags & 0xFF, math.prod(shape)
    if kind in _CLASSES:
        real, at = _array(content, at, order)
        values = real
        if flags >> 8 & _COMPLEX:
            imaginary, at = _array(content, at, order)
            values = real + 1j * imaginary if real.size == imaginary.size else imaginary[:0]
        if values.size != count:
            raise _Damaged(f"an array of shape {shape} has {values.size} values")
        dtype = values.dtype if values.dtype.kind == "c" else np.dtype(_CLASSES[kind])
        with np.errstate(all="ignore"):  # numbers that do not fit the type that is stated
            return values.astype(dtype).reshape(shape, order="F")
    if kind == _CHAR:
        stored, data, _ = _element(content, at, order)
        if stored not in _TEXT:
            raise _Damaged(f"a text is stored as the kind {stored}")
        encoding = _TEXT[stored]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if order == "<" else "-be"
        return bytes(data).decode(encoding)
    if kind == _STRUCT and count == 1:
        return _struct(content, at, order, depth)
    return None


def _struct(content: memoryview, at: int, order: Order, depth: int) -> dict[str, Value]:
    lengths, at = _integers(content, at, order)
    _, names, at = _element(content, at, order)
    length = int(lengths[0]) if lengths.size == 1 else 0
    if length <= 0 or len(names) % length:
        raise _Damaged("a struct does not state the names of its fields")
    fields: dict[str, Value] = {}
    for start in range(0, len(names), length):
        name = bytes(names[start : start + length]).split(b"\0")[0].decode("utf-8")
        kind, field, at = _element(content, at, order)
        if kind != _MATRIX:
            raise _Damaged(f"the field {name} is of the unknown kind {kind}")
        fields[name] = _value(field, order, depth - 1)
    return fields


def _array(content: memoryview, at: int, order: Order) -> tuple[np.ndarray, int]:
    """Numbers of an element, as they are stored, and where the next one begins."""
    kind, data, following = _element(content, at, order)
    if kind not in _STORED:
        raise _Damaged(f"numbers are stored as the kind {kind}")
    dtype = np.dtype(order + _STORED[kind])
    if len(data) % dtype.itemsize:
        raise _Damaged(f"numbers of {dtype.itemsize} bytes take {len(data)} bytes")
    return np.frombuffer(data, dtype), following


def _integers(content: memoryview, at: int, order: Order) -> tuple[np.ndarray, int]:
    numbers, following = _array(content, at, order)
    if numbers.dtype.kind not in "ui":
        raise _Damaged("a shape or a flag is no whole number")
    return numbers, following


def _element(content: memoryview, at: int, order: Order) -> tuple[int, memoryview, int]:
    """Kind and data of the element that begins at a place, and where the next one begins."""
    first = _number(content, at, order)
    if first >> 16:  # up to four bytes, which take the place of the second number
        kind, length, start, following = first & 0xFFFF, first >> 16, at + 4, at + 8
        if length > 4:
            raise _Damaged(f"a short element has {length} bytes")
    else:
        kind, length, start = first, _number(content, at + 4, order), at + 8
        following = start + -(-length // 8) * 8
    if start + length > len(content):
        raise _Damaged("an element ends after its variable")
    return kind, content[start : start + length], following


def _number(content: memoryview, at: int, order: Order) -> int:
    if at + 4 > len(content):
        raise _Damaged("a variable ends before its content does")
    return int.from_bytes(content[at : at + 4], "little" if order == "<" else "big")


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} cannot be read as a MATLAB file, it is damaged: {error}.")
