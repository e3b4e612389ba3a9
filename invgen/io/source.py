"""A file that a reader makes a scan of: its path, its container, and the arrays in it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py

from invgen.core.errors import FileError
from invgen.io.arrays import load_mat, load_npy, load_tiff
from invgen.io.hdf5 import find_object, get_dataset, open_hdf5
from invgen.io.matlab import mat_variables

__all__ = ["Container", "Source", "container_of"]

Container = Literal["hdf5", "npy", "mat", "tiff", "bart"]

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def container_of(path: Path) -> Container:
    """Recognise the container of a file by its first bytes.

    Raises
    ------
    FileError
        When it is none of those that are read.
    """
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
    if h5py.is_hdf5(path):
        return "hdf5"
    raise FileError(
        f"{path} is no HDF5, NPY, MAT or TIFF file that can be read; its beginning is {head[:8]!r}."
    )


class Source:
    """A file that is being read. An HDF5 file is opened when it is first asked for, until `close`.

    Parameters
    ----------
    path : Path
    container : {"hdf5", "npy", "mat", "tiff"}
        What the file is written as, whatever it holds. A file with one array, NPY or TIFF, names its other
        arrays by their files.

    Attributes
    ----------
    is_hdf5 : bool
        Whether it is HDF5: MATLAB's files of version 7.3 are, too.
    """

    def __init__(self, path: Path, container: Container):
        self.path, self.container = path, container
        self.is_hdf5 = container == "hdf5" or (container == "mat" and h5py.is_hdf5(path))

    @property
    def is_reversed(self) -> bool:
        """Whether arrays have their axes in the reverse of MATLAB's order, as in its HDF5 files."""
        return self.container == "mat" and self.is_hdf5

    @cached_property
    def hdf5(self) -> h5py.File:
        """The file, opened as HDF5.

        Raises
        ------
        FileError
            When it is none, or is damaged.
        """
        return open_hdf5(self.path)

    def holds(self, name: str) -> bool:
        """Whether there is something of that name in the file; one array, NPY or TIFF, has no name."""
        if self.is_hdf5:
            return find_object(self.hdf5, name) is not None
        return self.container == "mat" and name in mat_variables(self.path)

    def array(self, name: str) -> Any:
        """Load an array: a dataset, a variable, or another file of the same container.

        Raises
        ------
        FileError
            When there is none, or it is damaged.
        """
        if self.is_hdf5:
            return get_dataset(self.hdf5, name)
        if self.container == "mat":
            return load_mat(self.path, name)
        return (load_npy if self.container == "npy" else load_tiff)(name)

    def close(self) -> None:
        """Close the file, if it was opened."""
        if "hdf5" in vars(self):
            self.hdf5.close()
