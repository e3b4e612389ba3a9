"""Files that are whole or not there, HDF5 among them, also when the disk fills up."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import FileError
from invgen.core.text import brief

if TYPE_CHECKING:
    import h5py

__all__ = [
    "Guard",
    "atomic_folder",
    "atomic_hdf5",
    "atomic_path",
    "check_regular",
    "check_target",
    "flush_folder",
    "guarded_hdf5",
    "save_state",
    "sweep",
    "temporary_folder",
]

_LONGEST_NAME = 200  # bytes; of longer names temporary files have a digest, as names have at most 255
_TEMPORARY = re.compile(r"\..+[.-][a-z0-9_]{8}\.part(\.[^.]*)?", re.DOTALL)


def check_target(path: str | Path) -> Path:
    """Refuse to write where something else than an ordinary file is, or one that is read-only.

    What is looked at is the file itself, whatever links and names lead to it: ``/dev/fd/1`` can be a pipe.

    Returns
    -------
    Path
        Of the file behind the links.

    Raises
    ------
    FileError
    """
    try:
        target = Path(os.path.realpath(path))
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise FileError(f"{path} is a folder; give another name for the output.")
        if not stat.S_ISREG(found.st_mode):
            kind = next(kind for test, kind in _KINDS if test(found.st_mode))
            raise FileError(f"{path} is {kind}, which an output does not replace; give the name of a file.")
        if not target.exists() or not os.path.samestat(found, target.stat()):
            raise FileError(f"{path} leads to an open file without a name; give the name of a file to write.")
        if not (found.st_mode & 0o222 and os.access(path, os.W_OK)):
            raise FileError(f"{path} is there and is read-only; give another name, or make it writable.")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # a name that the system does not take, a loop of links
        raise FileError(f"{path} cannot be written: {_reason(error)}.") from error
    return target


_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: True, "no regular file"),
)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` on success and removed on failure.

    An existing file of that name is left unchanged until then, also at Ctrl-C. The content is flushed to the
    disk before the file is renamed, and the new name after: also when the power fails there is the old file
    or the new one, and the new one once the block has ended. What a process that was killed has left beside
    is removed by the next one that writes to that name.

    Raises
    ------
    FileError
        When the folder cannot be written to, the disk is full, or `path` is no ordinary file; see
        `check_target`.
    """
    target = check_target(path)
    with _beside(path, target, tempfile.mkstemp) as beside:
        yield beside
        check_target(path)
        _settle(beside)
        os.replace(beside, target)
        flush_folder(target.parent)


def save_state(content: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers and texts for ``torch.load(path, weights_only=True)``, as by `atomic_path`.

    By way of a guard: of a full disk PyTorch's own writer says that a position is unexpected.

    Raises
    ------
    FileError
    """
    import torch  # which takes a second, where a command only looks at files

    with atomic_path(path) as beside, closing(Guard(beside)) as guard:
        torch.save(content, guard)  # type: ignore[arg-type]
        guard.check()


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where its file system can: a rename is then there for good."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder that holds our files alone."""
    _sweep(folder, ".", "")


@contextmanager
def _beside(path: str | Path, target: Path, make: Callable[..., tuple[int, str]]) -> Iterator[Path]:
    """Yield what `make` makes beside the target, to be renamed in the block; removed where that fails."""
    prefix, suffix = _affixes(target)
    _sweep(target.parent, prefix, suffix)
    try:
        beside, lock = _locked(partial(make, prefix=prefix, suffix=suffix, dir=target.parent))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {_reason(error)}.") from error
    try:
        yield beside
    except BaseException as error:
        _remove(beside)
        if isinstance(error, OSError):
            raise FileError(
                f"{path} cannot be written: {_reason(error)}. Nothing is left under that name."
            ) from error
        raise
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _affixes(target: Path) -> tuple[str, str]:
    """What the names of temporary files beside a file begin and end with."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.", f".part{target.suffix if len(target.suffix) < 16 else ''}"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is removed in the end, as those of processes that were killed are."""
    prefix, suffix = ".invgen-", ".part"
    _sweep(Path(tempfile.gettempdir()), prefix, suffix)
    folder, lock = _locked(partial(_make_folder, prefix, suffix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_folder(prefix: str, suffix: str, dir: Path | None = None) -> tuple[int, str]:
    name = tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=dir)
    return os.open(name, os.O_RDONLY), name


def _locked(make: Callable[[], tuple[int, str]]) -> tuple[Path, int]:
    """A temporary file or folder, and its open descriptor, whose lock keeps it from being swept."""
    while True:
        handle, name = make()
        with suppress(OSError):  # a file system without locks, on which nothing is swept
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return Path(name), handle
        os.close(handle)  # swept before it was locked


def _sweep(folder: Path, prefix: str, suffix: str) -> None:
    """Remove temporary files and folders whose process is gone, and with it their lock."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(prefix) and name.endswith(suffix) and _TEMPORARY.fullmatch(name):
                _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # another process has removed it, or it is none of ours
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_uid != os.geteuid():
            return
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:  # its process is at work
        pass
    finally:
        os.close(handle)


def _settle(path: Path) -> None:
    """Flush a file to the disk; temporary ones are private, and an output has the usual permissions."""
    os.chmod(path, 0o666 & ~_mask())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and (error.errno == errno.ENOSPC or "No space left" in str(error)):
        return "the disk is full"
    return getattr(error, "strerror", None) or brief(error)


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
    if os.path.lexists(target):
        raise FileError(f"{path} exists; give the name of a new folder to write.")
    with _beside(path, target, _make_folder) as beside:
        yield beside
        for each in beside.rglob("*"):
            if each.is_dir():
                os.chmod(each, 0o777 & ~_mask())
            else:
                _settle(each)
        os.chmod(beside, 0o777 & ~_mask())
        flush_folder(beside)
        os.rename(beside, target)
        flush_folder(target.parent)


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
