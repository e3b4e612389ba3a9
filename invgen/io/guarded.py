"""HDF5 files that appear under their name when they are whole, also when the disk fills up."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import h5py

from invgen.files import atomic_path


@contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to write, which appears under the name `path` when the block ends well.

    Raises
    ------
    FileError
        When the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as beside, guarded_hdf5(beside) as (file, _):
        yield file


class Guard(io.RawIOBase):
    """A file that keeps the first error of writing, and tells it when asked.

    HDF5 cannot close a file that it cannot write: it tries again when Python ends, and crashes there.
    """

    def __init__(self, path: Path):
        self._file = path.open("r+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that writing has met."""
        if self._error is not None:
            raise self._error

    def write(self, data) -> int:
        """Write all the data, or nothing more once something has failed."""
        rest = memoryview(data).cast("B")
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return self.tell() if size is None else size

    def readinto(self, buffer) -> int:
        """Read into the buffer, zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view)
        view[count:] = bytes(len(view) - count)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the place in the file."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def guarded_hdf5(path: Path) -> Iterator[tuple[h5py.File, Guard]]:
    """Give an HDF5 file to write, and the guard that tells what writing met, also when the block ends."""
    with closing(Guard(path)) as guard:
        with h5py.File(guard, "w") as file:
            yield file, guard
        guard.check()
