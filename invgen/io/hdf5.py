"""HDF5 as a hostile format: only what lies in the file itself is read, and errors are in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from invgen.core.errors import FileError
from invgen.core.files import check_regular
from invgen.io.units import Length

__all__ = [
    "describe_datasets",
    "find_object",
    "get_dataset",
    "length_value",
    "link_type",
    "number_value",
    "open_hdf5",
    "read_all",
    "text_attribute",
    "text_value",
    "walk",
]

_MAX_OBJECTS = 10_000  # visited in a search; a file with more is searched no further
_MAX_LINKS = 16  # soft links to follow before calling it a loop


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises
    ------
    FileError
        When the file is missing, empty, truncated or not HDF5.
    """
    check_regular(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise FileError(
                f"{path} is truncated: the file is shorter than its own header says. "
                "The copy or the acquisition was cut short; copy it again."
            ) from error
        if not h5py.is_hdf5(path):
            raise FileError(f"{path} is no HDF5 file, or its beginning is damaged.") from error
        raise FileError(f"{path} cannot be opened as HDF5: {error}") from error


def find_object(root: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Object under `root` at a path, or None where nothing is there.

    Links are followed one by one and only inside of the file.

    Raises
    ------
    FileError
        On an external link, external storage, a virtual dataset of other files, or a loop of links.
    """
    return _walk(root, name, _MAX_LINKS)


def _walk(root: h5py.Group, name: str, hops: int) -> h5py.Group | h5py.Dataset | None:
    here: h5py.Group | h5py.Dataset = root.file if name.startswith("/") else root
    for part in (part for part in name.split("/") if part not in ("", ".")):
        if not isinstance(here, h5py.Group):
            return None
        kind = link_type(here, part)
        if kind is None:
            return None
        if kind == h5py.h5l.TYPE_HARD:
            target = _get(here, part)
        elif kind == h5py.h5l.TYPE_SOFT:
            if hops == 0:
                raise FileError(f"{root.file.filename}: the link {part!r} leads to itself.")
            target = _walk(here, here.id.links.get_val(_encoded(part)).decode("utf-8", "replace"), hops - 1)
        else:
            raise FileError(
                f"{root.file.filename}: {part!r} is an external link; links out of a file are not followed. "
                "Write one file that contains the data."
            )
        if target is None:
            return None
        here = target
    if isinstance(here, h5py.Dataset):
        _check_storage(here, hops)
    return here


def link_type(group: h5py.Group, name: str | bytes) -> int | None:
    """Kind of a link (``h5py.h5l.TYPE_HARD``, ...), None where there is none.

    Unlike ``name in group``, it does not open what an external link leads to.
    """
    if not group.id.links.exists(_encoded(name)):
        return None
    return group.id.links.get_info(_encoded(name)).type


def _encoded(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()  # h5py leaves names that are no text as bytes


def _get(group: h5py.Group, name: str | bytes) -> h5py.Group | h5py.Dataset | None:
    try:
        return group[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise FileError(
            f"{group.file.filename}: {name!r} cannot be read, the file is damaged: {error}"
        ) from error


def _check_storage(dataset: h5py.Dataset, hops: int) -> None:
    file, name = dataset.file.filename, dataset.name
    if dataset.external:
        raise FileError(
            f"{file}: {name} keeps its values in another file ({dataset.external[0][0]!r}), "
            "which is not read. Write one file that contains the data."
        )
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            if source.file_name != "." or hops == 0:
                raise FileError(
                    f"{file}: {name} is a virtual dataset of other files ({source.file_name!r}), "
                    "which are not read. Write one file that contains the data, for example with h5repack."
                )
            _walk(dataset.file, "/" + source.dset_name.lstrip("/"), hops - 1)


def get_dataset(file: h5py.Group, name: str) -> h5py.Dataset:
    """Open the dataset of that name.

    Raises
    ------
    FileError
        When there is none; the message lists those that are there.
    """
    found = find_object(file, name)
    if isinstance(found, h5py.Dataset):
        return found
    raise FileError(f"{file.file.filename} has no dataset {name!r}. {describe_datasets(file.file)}")


def describe_datasets(file: h5py.File, limit: int = 20) -> str:
    """One sentence: the numeric arrays of the file and their shapes."""
    arrays = [o for o in walk(file) if isinstance(o, h5py.Dataset) and o.shape and o.dtype.kind in "uifc"]
    if not arrays:
        return "It has no numeric array."
    shown = ", ".join(f"{o.name.lstrip('/')} {o.shape}" for o in arrays[:limit])
    return f"Its arrays: {shown}{', ...' if len(arrays) > limit else ''}."


def walk(group: h5py.Group) -> Iterator[h5py.Group | h5py.Dataset]:
    """All groups and datasets below a group, by hard links only, each once, breadth first."""
    seen: set[int] = set()
    queue = [group]
    while queue and len(seen) < _MAX_OBJECTS:
        here = queue.pop(0)
        for name in here:
            if link_type(here, name) != h5py.h5l.TYPE_HARD:
                continue
            found = _get(here, name)
            if not isinstance(found, h5py.Group | h5py.Dataset):
                continue
            key = h5py.h5o.get_info(found.id).addr
            if key in seen:
                continue
            seen.add(key)
            yield found
            if isinstance(found, h5py.Group):
                queue.append(found)


def read_all(dataset: h5py.Dataset, limit: int = 2**27) -> np.ndarray:
    """Read a small dataset (angles, keys) whole; `limit` is in bytes."""
    if dataset.dtype.kind not in "uif":
        raise FileError(
            f"{dataset.file.filename}: {dataset.name} should hold numbers; it holds {dataset.dtype}."
        )
    if dataset.shape is None or dataset.size * dataset.dtype.itemsize > limit:
        raise FileError(f"{dataset.file.filename}: {dataset.name} has an absurd size, {dataset.shape}.")
    try:
        return np.asarray(dataset[()])
    except (OSError, RuntimeError) as error:
        raise FileError(
            f"{dataset.file.filename}: {dataset.name} cannot be read, the file is damaged: {error}"
        ) from error


def number_value(root: h5py.Group, name: str) -> float | None:
    """Read a dataset that holds one number; None where it is not there or holds anything else."""
    dataset = find_object(root, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "uif":
        return None
    return float(read_all(dataset).reshape(-1)[0])


def length_value(root: h5py.Group, name: str, default: str | None = None) -> Length | None:
    """Read a dataset that holds one length, and its unit: as stated, else the format's own, else none."""
    value = number_value(root, name)
    if value is None:
        return None
    unit = text_attribute(get_dataset(root, name), "units") or default
    return None if unit is None else (value, unit)


def text_attribute(item: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """Read an attribute as text; None where it is not there or is no text."""
    try:
        return _text(item.attrs.get(name))
    except (OSError, RuntimeError):  # an attribute of a type that h5py cannot read
        return None


def text_value(dataset: object) -> str | None:
    """Read a dataset that holds one string; None for anything else."""
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "OSU":
        return None
    return _text(dataset[()])


def _text(value: object) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
