"""Plain arrays in files of their own: NPY, TIFF, and MATLAB's version 5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from invgen.core.errors import FileError
from invgen.core.files import check_regular
from invgen.core.memory import require_memory
from invgen.io.matlab import mat_variable
from invgen.io.tiffs import parsing

__all__ = ["load_mat", "load_npy", "load_tiff"]


def load_npy(path: str | Path) -> np.ndarray:
    """Map the array of a NPY file into memory.

    Raises
    ------
    FileError
        When the file is missing or damaged, or holds pickled objects, which are never executed.
    """
    path = Path(path)
    check_regular(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a header is parsed as a literal: SyntaxError, ValueError, MemoryError, ...
        if "Object arrays" in str(error) or "object" in str(error):
            raise FileError(
                f"{path} holds pickled Python objects, which are never executed; save plain numbers."
            ) from error
        raise _damaged(path, "a NPY file", error) from error


def load_tiff(path: str | Path) -> np.ndarray:
    """Load the pages of a TIFF file: mapped into memory where they are not compressed, else read whole.

    Raises
    ------
    FileError
        When the file is missing or damaged, or claims a shape that is absurd for its size.
    """
    import tifffile

    path = Path(path)
    check_regular(path)
    with parsing(path), tifffile.TiffFile(path) as file:
        series = file.series[0]
        size = series.size * series.dtype.itemsize
        if size > 64 * max(path.stat().st_size, 2**20):
            raise FileError(f"{path} claims an absurd shape, {series.shape}, for a file of its size.")
        if series.dataoffset is not None:
            return tifffile.memmap(path, mode="r")
        require_memory(size, f"{path}, which is compressed,")
        return series.asarray()


def load_mat(path: Path, name: str) -> np.ndarray:
    """Load an array of a MATLAB file of version 5: a variable, or ``struct/field``.

    Raises
    ------
    FileError
        When the file is damaged, or has no such array of numbers.
    """
    top, *fields = name.strip("/").split("/")
    value = mat_variable(path, top)
    for field in fields:
        if not isinstance(value, dict) or field not in value:
            raise FileError(f"{path} has no array {name!r}; leave out the dataset to see what is there.")
        value = value[field]
    if isinstance(value, dict):
        names = ", ".join(f"{name}/{field}" for field in value)
        raise FileError(f"{name!r} is a struct; name one of its fields: {names}.")
    if not isinstance(value, np.ndarray):
        kind = "a text" if isinstance(value, str) else "a cell or an object"
        raise FileError(f"{name!r} should hold real numbers; it is {kind}.")
    return value


def _damaged(path: Path, kind: str, error: Exception) -> FileError:
    return FileError(f"{path} cannot be read as {kind}, it is damaged: {error}")
