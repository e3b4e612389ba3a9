"""A file that a reader makes a scan of: its path, its container, and the arrays in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py

from invgen.core.errors import FileError
from invgen.core.files import check_regular
from invgen.core.text import quoted
from invgen.io.arrays import load_mat, load_npy, load_tiff
from invgen.io.hdf5 import File, describe_datasets, find_object, get_dataset, open_hdf5
from invgen.io.matlab import describe_variables, mat_variables
from invgen.io.tiffs import TiffSeries, is_pattern, tiff_files

__all__ = ["Container", "Source", "container_of", "is_series", "named_file"]

Container = Literal["hdf5", "npy", "mat", "tiff", "nikon", "bart"]

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def container_of(path: Path) -> Container:
    """Recognise the container of a file by its first bytes; folders and patterns are of TIFF files.

    Raises
    ------
    FileError
        When it is none of those that are read.
    """
    if is_series(path):
        return "tiff"
    check_regular(path)
    if path.suffix == ".cfl":  # numbers alone
        return "bart"
    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"MATLAB 7.3") or head.startswith(b"MATLAB 5.0"):
        return "mat"
    if head.startswith(_TIFF):
        return "tiff"
    if b"[xtekct]" in head.lower():
        return "nikon"
    if h5py.is_hdf5(path):
        return "hdf5"
    raise FileError(
        f"{path} is no HDF5, NPY, MAT or TIFF file that can be read, nor a .xtekct text; its beginning "
        f"is {head[:8]!r}."
    )


def is_series(path: Path) -> bool:
    """Whether it is a folder of TIFF files, or a pattern of their names."""
    return path.is_dir() or is_pattern(path)


def named_file(name: str) -> tuple[Path, str | None] | None:
    """The file, folder or pattern that a text means, and the array in it: ``FILE[:DATASET]``.

    None where there is no such file.
    """
    return next(((path, array) for path, array in _splits(name) if _exists(path)), None)


def _splits(name: str) -> Iterator[tuple[Path, str | None]]:
    """A text as FILE, and as FILE:DATASET; the last colon first."""
    yield Path(name), None
    parts = name.split(":")
    for count in range(len(parts) - 1, 0, -1):
        yield Path(":".join(parts[:count])), ":".join(parts[count:]) or None


def _exists(path: Path) -> bool:
    try:
        return path != Path() and (path.exists() or is_pattern(path))
    except (OSError, ValueError):  # a name that is too long, or holds a zero
        return False


class Source:
    """A file that is being read. An HDF5 file is opened when it is first asked for, until `close`.

    Parameters
    ----------
    path : Path
        The file; of TIFF files also a folder of them, or a pattern of their names.
    container : {"hdf5", "npy", "mat", "tiff", "nikon"}
        What the file is written as, whatever it holds.
    follow_links : bool
        Whether links of an HDF5 file may lead out of its folder.

    Attributes
    ----------
    is_hdf5 : bool
        Whether it is HDF5: MATLAB's files of version 7.3 are, too.
    """

    def __init__(self, path: Path, container: Container, follow_links: bool = False):
        self.path, self.container, self._follow_links = path, container, follow_links
        self.is_hdf5 = container == "hdf5" or (container == "mat" and h5py.is_hdf5(path))
        self._others: dict[Path, Source] = {}
        self._read: list[Path] = []  # beside the containers

    @property
    def is_reversed(self) -> bool:
        """Whether arrays have their axes in the reverse of MATLAB's order, as in its HDF5 files."""
        return self.container == "mat" and self.is_hdf5

    @property
    def is_series(self) -> bool:
        """Whether it is a folder of TIFF files, or a pattern of their names."""
        return self.container == "tiff" and is_series(self.path)

    @cached_property
    def hdf5(self) -> File:
        """The file, opened as HDF5.

        Raises
        ------
        FileError
            When it is none, or is damaged.
        """
        return open_hdf5(self.path, self._follow_links)

    @cached_property
    def series(self) -> TiffSeries:
        """The images of a folder or a pattern, as one array.

        Raises
        ------
        FileError
            When there are none, or they differ.
        """
        return TiffSeries(tiff_files(self.path), str(self.path))

    def holds(self, name: str) -> bool:
        """Whether there is something of that name in the file; one array, NPY or TIFF, has no name."""
        if self.is_hdf5:
            return find_object(self.hdf5, name) is not None
        return self.container == "mat" and name.strip("/").split("/")[0] in mat_variables(self.path)

    def array(self, name: str | None = None) -> Any:
        """Load an array: a dataset, a variable; the only one, of NPY and TIFF files, has no name.

        Raises
        ------
        FileError
            When there is none, or it is damaged.
        """
        if self.is_hdf5:
            assert name is not None, "HDF5 arrays have names"
            return get_dataset(self.hdf5, name)
        if self.container == "mat":
            return load_mat(self.path, self._only_variable() if name is None else name)
        if name is not None:
            raise FileError(f"{self.path} holds one array, which has no name such as {quoted(name)}.")
        if self.is_series:
            return self.series
        return (load_npy if self.container == "npy" else load_tiff)(self.path)

    def located(self, name: str) -> tuple[Source, str | None]:
        """Where an array is that the caller names: in this file, else in another, ``FILE[:DATASET]``.

        Raises
        ------
        FileError
            When it is in neither.
        """
        if self.holds(name):
            return self, name
        found = named_file(name)
        if found is None:
            raise FileError(self._missing(name))
        path, array = found
        if path not in self._others:
            self._others[path] = Source(path, container_of(path), self._follow_links)
        return self._others[path], array

    def beside(self, path: Path) -> Path:
        """Take note of a file that a reader reads beside this one."""
        self._read.append(path)
        return path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that have been read."""
        own: tuple[Path, ...] = (self.path,)
        if "hdf5" in vars(self):
            own += self.hdf5.files
        if self.is_series:
            own = tuple(self.series.files)
        return (*own, *self._read, *(path for other in self._others.values() for path in other.files))

    def close(self) -> None:
        """Close the files that were opened."""
        if "hdf5" in vars(self):
            self.hdf5.close()
        for other in self._others.values():
            other.close()

    def _missing(self, name: str) -> str:
        if self.is_hdf5:
            there = describe_datasets(self.hdf5)
            return f"{self.path} has no dataset {quoted(name)}, and there is no such file. {there}"
        if self.container == "mat":
            there = describe_variables(self.path)
            return f"{self.path} has no array {quoted(name)}, and there is no such file. It holds {there}."
        return f"{quoted(name)} does not exist; {self.path} has one array, so that others are in files."

    def _only_variable(self) -> str:
        variables = mat_variables(self.path)
        if len(variables) != 1:
            names = describe_variables(self.path)
            raise FileError(f"{self.path} holds several variables ({names}): name one, as in FILE:NAME.")
        return next(iter(variables))
