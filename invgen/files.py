"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invgen.errors import FileError

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which takes the name `path` when the block ends well, and else disappears.

    The file of that name, if there is one, stays as it is until then, also at Ctrl-C.

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
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(beside, 0o666 & ~mask)  # temporary files are private; an output has the usual permissions
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, target)


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return "the disk is full" if error.errno == 28 or "No space left" in str(error) else text
