"""Files that are written: what is checked before, and reconstructions when they are read again."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from invgen.core.errors import FileError
from invgen.core.files import check_target
from invgen.core.memory import size_in_words
from invgen.pipeline.inputs import named_files

if TYPE_CHECKING:
    from invgen.io import Reconstructed

__all__ = ["check_output", "open_reconstruction", "require_room"]


def check_output(output: Path, *read: object) -> None:
    """Fail before the work where its output would destroy something, or cannot be written.

    Parameters
    ----------
    output : Path
    *read : path, str, dataclass of options, or None
        What the command reads: files, folders of them, and values that may name such, as options do.

    Raises
    ------
    FileError
        When the output is one of the files that are read, under whatever name, or is a folder, a device, a
        pipe or a read-only file, or its folder cannot be written to.
    """
    target = check_target(output)
    if target.exists():
        for path in named_files(read):
            if _is_in(target, path):
                raise FileError(f"{output} is what the command reads; give another name for the output.")
    require_room(output, 0)


def require_room(output: Path, needed: int) -> int:
    """Fail before the work, rather than after it, where an output of `needed` bytes has no room.

    Returns
    -------
    int
        Bytes that are free.

    Raises
    ------
    FileError
        When its folder cannot be written to, or the disk is too full.
    """
    folder = Path(os.path.realpath(output)).parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FileError(f"{output} cannot be written: {error.strerror or error}.") from error
    if free < needed:
        raise FileError(
            f"{output} cannot be written: it needs {size_in_words(needed)} and the disk has "
            f"{size_in_words(free)} left. Choose fewer slices, larger bins, or another disk."
        )
    return free


def _is_in(target: Path, path: Path) -> bool:
    """Whether a file is another one, or in a folder, by its identity."""
    found = target.stat()
    with suppress(OSError, ValueError):
        if os.path.samestat(found, path.stat()):
            return True
        if path.is_dir():
            for folder, _, names in os.walk(path):
                for name in names:
                    with suppress(OSError):
                        if os.path.samestat(found, os.stat(os.path.join(folder, name))):
                            return True
    return False


def open_reconstruction(path: Path, frame: int = 0) -> Reconstructed:
    """Open what `invgen recon` wrote; ``settings["rows"]`` has the number of each slice in the scan.

    Of several frames it is one.

    Raises
    ------
    FileError
        When it is something else, or damaged.
    """
    from invgen.io import read_reconstruction

    file = read_reconstruction(path, frame)
    rows = file.settings.get("rows") if isinstance(file.settings, dict) else None
    if (
        not (file.volume.ndim == 3 or (file.volume.ndim == 4 and file.volume.shape[1] == 3))
        or not isinstance(rows, list)
        or len(rows) != len(file.volume)
        or not all(isinstance(row, int) for row in rows)
    ):
        file.close()
        raise FileError(
            f"{path} is no reconstruction of the command line: its settings do not fit its slices."
        )
    return file
