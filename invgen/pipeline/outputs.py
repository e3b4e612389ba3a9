"""Files that are written: what is checked before, and reconstructions when they are read again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from invgen.core.errors import FileError

if TYPE_CHECKING:
    from invgen.io import Reconstructed

__all__ = ["open_reconstruction", "refuse_to_overwrite", "require_room"]


def refuse_to_overwrite(output: Path, *inputs: Path) -> None:
    """Keep a command from replacing what it reads.

    Raises
    ------
    FileError
        When the output is one of the inputs, under whatever name.
    """
    for path in inputs:
        if path.exists() and output.exists() and os.path.samefile(path, output):
            raise FileError(f"{output} is what the command reads; give another name for the output.")


def require_room(output: Path, needed: int) -> None:
    """Fail before the work, rather than after it, where an output of `needed` bytes has no room.

    Raises
    ------
    FileError
        When the output is a folder, its folder cannot be written to, or the disk is too full.
    """
    if output.is_dir():
        raise FileError(f"{output} is a folder; give the name of a file to write.")
    folder = Path(os.path.realpath(output)).parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FileError(f"{output} cannot be written: {error.strerror or error}.") from error
    if free < needed:
        raise FileError(
            f"{output} cannot be written: it needs {needed / 1e9:.3g} GB and the disk has "
            f"{free / 1e9:.3g} GB left. Choose fewer slices, larger bins, or another disk."
        )


def open_reconstruction(path: Path) -> Reconstructed:
    """Open what `invgen recon` wrote; ``settings["rows"]`` has the number of each slice in the scan.

    Raises
    ------
    FileError
        When it is something else, or damaged.
    """
    from invgen.io import read_reconstruction

    file = read_reconstruction(path)
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
