"""Files that are whole or not there, HDF5 among them, also when the disk fills up."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import FileError

if TYPE_CHECKING:
    import h5py

__all__ = ["Guard", "atomic_folder", "atomic_hdf5", "atomic_path", "check_regular", "guarded_hdf5"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` on success and removed on failure.

    An existing file of that name is left unchanged until then, also at Ctrl-C.

    Raises
    ------
    FileError
        When the folder cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise FileError(f"{path} is a folder; give the name of a file to write.")
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part" + target.suffix, dir=target.parent
        )
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        _publish(beside, target)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(
                f"{path} cannot be written: {_reason(error)}. Nothing is left under that name."
            ) from error
        raise


def _publish(beside: Path, target: Path) -> None:
    _settle(beside)
    os.replace(beside, target)


def _settle(path: Path) -> None:
    """Flush a file to the disk; temporary ones are private, and an output has the usual permissions."""
    os.chmod(path, 0o666 & ~_mask())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return "the disk is full" if error.errno == 28 or "No space left" in str(error) else text


@contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write, which appears under the name `path` on success.

    Raises
    ------
    FileError
        When the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as beside, guarded_hdf5(beside) as (file, _):
        yield file


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to write to, which is renamed to `path` on success and removed on failure.

    Raises
    ------
    FileError
        When there is something of that name, it cannot be written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.exists():
        raise FileError(f"{path} exists; give the name of a new folder to write.")
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        yield beside
        for each in beside.iterdir():
            _settle(each)
        os.chmod(beside, 0o777 & ~_mask())
        os.rename(beside, target)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            raise FileError(
                f"{path} cannot be written: {_reason(error)}. Nothing is left under that name."
            ) from error
        raise


class Guard(io.RawIOBase):
    """A file that keeps the first error of writing, for `check` to raise.

    HDF5 cannot close a file that it cannot write: it tries again when Python exits, and crashes there.
    """

    def __init__(self, path: Path):
        self._file = path.open("r+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that writing has met."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of the data, or nothing once a write has failed."""
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

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer, zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view)
        view[count:] = bytes(len(view) - count)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the file."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def guarded_hdf5(path: Path) -> Iterator[tuple[h5py.File, Guard]]:
    """Yield an HDF5 file to write, and its guard; raise the error of writing when the block ends."""
    import h5py

    with closing(Guard(path)) as guard:
        try:
            with h5py.File(guard, "w") as file:
                yield file, guard
        except Exception:
            guard.check()  # rather than what HDF5 makes of it
            raise
        guard.check()


def check_regular(path: Path) -> None:
    """Refuse what is no regular file with content: a pipe would hang, a folder confuses libraries.

    Raises
    ------
    FileError
    """
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder; give the name of a file.")
        if not path.exists():
            raise FileError(f"{path} does not exist.")
        if not path.is_file():
            raise FileError(f"{path} is no regular file.")
        if path.stat().st_size == 0:
            raise FileError(f"{path} is empty (0 bytes).")
        with path.open("rb"):
            pass
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
