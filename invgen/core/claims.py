"""Folders that one process has at a time, until it lets go of them or is gone, killed or not."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from invgen.core.errors import FileError
from invgen.core.files import flush_folder

__all__ = ["Claim"]

_LOCK = "lock"


class Claim:
    """A folder that is this process's own until `release`, or its end.

    The lock is one on a file in it, which the system takes back from a process that is gone; on a file system
    without locks every claim succeeds.

    Parameters
    ----------
    folder : Path
        Made where it is not there.

    Raises
    ------
    FileError
        Where another process has it, or it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            while not self._locked():  # removed by the one before, between our opening and locking it
                pass
        except OSError as error:
            raise FileError(f"{folder} cannot be written: {error.strerror or error}.") from error

    def _locked(self) -> bool:
        self._folder.mkdir(exist_ok=True)
        try:
            handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # the folder is gone again
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise FileError(
                f"{self._folder} is that of another process, which is at work: wait for its end, or give "
                "another name for the output."
            ) from None
        except OSError:  # a file system without locks
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(self._folder / _LOCK)):
                self._handle = handle
                return True
        os.close(handle)
        return False

    def clear(self) -> None:
        """Remove what is in the folder; it stays this process's own."""
        for each in self._folder.iterdir():
            if each.name != _LOCK:
                with suppress(FileNotFoundError):  # a process that was its own is still ending
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()

    def remove(self) -> None:
        """Remove the folder, and let go of it."""
        with suppress(OSError):
            self.clear()
            (self._folder / _LOCK).unlink(missing_ok=True)
            self._folder.rmdir()
            flush_folder(self._folder.parent)
        self.release()

    def release(self) -> None:
        """Let go of the folder as it is."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
