"""HDF5 as a hostile format: groups, datasets and attributes, and nothing of h5py's that can raise its errors.

Whatever is asked of a damaged file raises `FileError`; where links lead is the matter of `invgen.io.links`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from invgen.core.errors import FileError
from invgen.core.memory import require_memory
from invgen.core.text import brief, printable
from invgen.io.filters import require_filters
from invgen.io.links import Found, Links, reading
from invgen.io.units import Length

__all__ = [
    "Dataset",
    "File",
    "Group",
    "attribute",
    "describe_datasets",
    "find_object",
    "get_dataset",
    "has_link",
    "length_value",
    "number_value",
    "open_hdf5",
    "read_all",
    "reading",
    "text_attribute",
    "text_entry",
    "text_value",
    "walk",
]


#: Characters of the list of a file's arrays.
_MAX_LISTED = 800
#: Characters of the name of a unit.
_MAX_UNIT = 30


class _Object:
    """What groups and datasets have in common.

    Attributes
    ----------
    file : File
        The file that was opened; the object can be behind a link out of it.
    """

    def __init__(self, file: File, found: Found):
        self.file, self._found = file, found

    @cached_property
    def name(self) -> str:
        """Path in the file that was opened, for messages: what does not print is escaped."""
        return printable(self._found.name)


class Group(_Object):
    """A group."""


class File(Group):
    """A file that is open for reading: its root group, and all files that links lead to.

    Parameters
    ----------
    path : Path
    follow_links : bool
        Whether links and virtual datasets may lead out of the folder of the file.

    Attributes
    ----------
    filename : str
    """

    def __init__(self, path: Path, follow_links: bool = False):
        self._links = Links(path, follow_links)
        self.filename = str(path)
        super().__init__(self, Found(self._links.root, "/", {}))

    @property
    def files(self) -> tuple[Path, ...]:
        """Real paths of the files that were read: this one, and those that links have led to."""
        return tuple(self._links.visited)

    def __getitem__(self, name: str) -> Dataset:
        return get_dataset(self, name)

    def close(self) -> None:
        """Close the files."""
        self._links.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Dataset(_Object):
    """An array in a file, read when it is sliced.

    Raises
    ------
    FileError
        From whatever is asked of it, where the file is damaged, or a filter is not installed.
    """

    @cached_property
    def _raw(self) -> h5py.Dataset:
        raw = self._found.raw
        assert isinstance(raw, h5py.Dataset), "it was found as one"
        return raw

    @cached_property
    def shape(self) -> Any:
        """Lengths of its axes, None of what has no values."""
        with self._reading():
            return self._raw.shape

    @cached_property
    def dtype(self) -> np.dtype:
        """Type of its values."""
        with self._reading():
            return self._raw.dtype

    @cached_property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the blocks in which it is stored; None where it is not stored in blocks."""
        with self._reading():
            return self._raw.chunks

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape or ())

    @property
    def size(self) -> int:
        """Number of values."""
        return 0 if self.shape is None else int(np.prod(self.shape, dtype=object))

    def fields(self, names: str | list[str]) -> Any:
        """Some fields of compounds, read when they are sliced."""
        with self._reading():
            return _Fields(self, names)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Any:
        return self._read(self._raw, index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[()], dtype)

    def _read(self, raw: Any, index: Any) -> Any:
        what = f"{self.file.filename}: {self.name}"
        require_filters(self._found.filters, what)
        counts = [_selected(self.shape, index), *([] if self.chunks is None else [math.prod(self.chunks)])]
        require_memory(max(counts) * self.dtype.itemsize, what)
        with reading(self.file.filename, self.name, passing=(IndexError,)):  # iteration ends by it
            return raw[index]

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self.file.filename, self.name)

    def part(self, index: int) -> Part:
        """An entry along the first axis, read when it is sliced."""
        return Part(self, index)


class Part(Dataset):
    """An entry of an array along its first axis."""

    def __init__(self, whole: Dataset, index: int):
        super().__init__(whole.file, whole._found)
        self._index = index

    @cached_property
    def shape(self) -> Any:
        """Lengths of the other axes."""
        return super().shape[1:]

    @cached_property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the blocks along the other axes."""
        found = super().chunks
        return None if found is None else found[1:]

    def __getitem__(self, index: Any) -> Any:
        return self._read(self._raw, (self._index, *(index if isinstance(index, tuple) else (index,))))


def _selected(shape: tuple[int, ...] | None, index: Any) -> int:
    """The number of values that an index selects, of an array of any size; all, where it cannot be told."""
    if not shape:
        return 1
    try:
        return int(np.broadcast_to(np.uint8(0), shape)[index].size)
    except (ValueError, IndexError, TypeError):  # of another dimension: that is said where it is read
        return math.prod(shape)


class _Fields:
    """Some fields of the compounds of a dataset.

    Those of variable length are read along: of a field that is left out h5py (3.16) reads such values, too,
    and never frees them.
    """

    def __init__(self, dataset: Dataset, names: str | list[str]):
        kinds = dataset._raw.dtype
        asked = [names] if isinstance(names, str) else names
        along = [name for name in kinds.names or () if kinds[name].hasobject and name not in asked]
        self._dataset, self._names, self._raw = dataset, names, dataset._raw.fields([*asked, *along])

    def __getitem__(self, index: Any) -> Any:
        return self._dataset._read(self._raw, index)[self._names]


def open_hdf5(path: Path, follow_links: bool = False) -> File:
    """Open a file for reading.

    Raises
    ------
    FileError
        When the file is missing, empty, truncated or not HDF5.
    """
    return File(path, follow_links)


def find_object(root: Group, name: str) -> Group | Dataset | None:
    """Object under `root` at a path, or None where nothing is there.

    Raises
    ------
    FileError
        Where a link leads to itself, to what is missing or out of the file's folder, or the values are in
        external storage.
    """
    found = root.file._links.find(_group(root), root._found.name, name)
    return None if found is None else _of(root.file, found)


def _of(file: File, found: Found) -> Group | Dataset:
    return (Group if isinstance(found.raw, h5py.Group) else Dataset)(file, found)


def _group(group: Group) -> h5py.Group:
    raw = group._found.raw
    assert isinstance(raw, h5py.Group), "it was found as one"
    return raw


def has_link(group: Group, name: str) -> bool:
    """Whether a group has something of that name; what a link leads to is not looked at."""
    return group.file._links.has(_group(group), name)


def get_dataset(file: Group, name: str) -> Dataset:
    """Open the dataset of that name.

    Raises
    ------
    FileError
        When there is none; the message lists those that are there.
    """
    found = find_object(file, name)
    if isinstance(found, Dataset):
        return found
    raise FileError(f"{file.file.filename} has no dataset {name!r}. {describe_datasets(file.file)}")


def describe_datasets(file: File, limit: int = 20) -> str:
    """One sentence: the numeric arrays of the file and their shapes, as many as a message takes."""
    arrays: list[str] = []
    try:
        for each in walk(file):
            if isinstance(each, Dataset) and each.shape and each.dtype.kind in "uifc":
                arrays.append(f"{printable(each.name.lstrip('/'), 80)} {each.shape}")
            if len(arrays) > limit or sum(map(len, arrays)) > _MAX_LISTED:
                break
    except FileError:  # what is listed explains another error
        pass
    if not arrays:
        return "It has no numeric array."
    whole = len(arrays) <= limit and sum(map(len, arrays)) <= _MAX_LISTED
    return f"Its arrays: {', '.join(arrays[:limit])}{'' if whole else ', ...'}."


def walk(group: Group, seen: set[tuple[int, int]] | None = None) -> Iterator[Group | Dataset]:
    """All groups and datasets below a group, each once, those in reach of hard links first, breadth first.

    Soft links, and external links that may be followed, are followed; what cannot be reached is passed over.
    Objects in `seen` are left out, and those that are visited are added to it.

    Raises
    ------
    FileError
        When the file is damaged, or has more objects than are visited.
    """
    for found in group.file._links.walk(_group(group), group._found.name, set() if seen is None else seen):
        yield _of(group.file, found)


def read_all(dataset: Dataset, limit: int = 2**27) -> np.ndarray:
    """Read a small dataset (angles, keys) whole; `limit` is in bytes."""
    what = f"{dataset.file.filename}: {dataset.name}"
    if dataset.dtype.kind not in "uif":
        raise FileError(f"{what} should hold numbers; it holds {brief(dataset.dtype)}.")
    if dataset.shape is None or dataset.size * dataset.dtype.itemsize > limit:
        raise FileError(f"{what} has an absurd size, {dataset.shape}.")
    return np.asarray(dataset[()])


def number_value(root: Group, name: str) -> float | None:
    """Read a dataset that holds one number; None where it is not there or holds anything else."""
    dataset = find_object(root, name)
    if not isinstance(dataset, Dataset) or dataset.size != 1 or dataset.dtype.kind not in "uif":
        return None
    return float(read_all(dataset).reshape(-1)[0])


def length_value(root: Group, name: str, default: str | None = None) -> Length | None:
    """Read a dataset that holds one length, and its unit: as stated, else the format's own, else none."""
    value = number_value(root, name)
    if value is None:
        return None
    unit = text_attribute(get_dataset(root, name), "units") or default
    return None if unit is None else (value, printable(unit, _MAX_UNIT))


def attribute(item: Group | Dataset, name: str) -> Any:
    """Read an attribute; None where it is not there.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    with reading(item.file.filename, f"the attribute {name!r} of {item.name}"):
        return item._found.raw.attrs.get(name)


def text_attribute(item: Group | Dataset, name: str) -> str | None:
    """Read an attribute as text; None where it is not there, is no text, or cannot be read."""
    try:
        return _text(attribute(item, name))
    except FileError:
        return None


def text_value(dataset: object) -> str | None:
    """Read a dataset that holds one string; None for anything else."""
    if not isinstance(dataset, Dataset) or dataset.size != 1 or dataset.dtype.kind not in "OSU":
        return None
    return _text(dataset[()])


def text_entry(dataset: Dataset, index: int) -> str:
    """Read one of the strings of a dataset.

    Raises
    ------
    FileError
        When it holds anything else.
    """
    text = _text(dataset[index]) if dataset.ndim == 1 and 0 <= index < len(dataset) else None
    if text is None:
        raise FileError(
            f"{dataset.file.filename}: {dataset.name} should hold a text of number {index}; it holds "
            f"{dataset.shape} {dataset.dtype}."
        )
    return text


def _text(value: object) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
