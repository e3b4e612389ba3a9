"""TIFF files of one image each, as they lie in a folder: one array, of which a slice reads its rows alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np

from invgen.core.errors import FileError, InvgenError
from invgen.core.files import check_regular
from invgen.core.text import brief, quoted

__all__ = ["TiffSeries", "is_pattern", "natural", "parsing", "series_name", "tiff_files"]

_SUFFIXES = (".tif", ".tiff")


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Translate whatever tifffile raises at damage; a shortage of memory is none.

    Raises
    ------
    FileError
    """
    try:
        yield
    except (InvgenError, MemoryError):
        raise
    except Exception as error:
        raise FileError(f"{path} cannot be read as a TIFF file, it is damaged: {brief(error)}") from error


def natural(path: Path) -> tuple[tuple[bool, int, str], ...]:
    """Key of the natural order, in which numbers in names count: ``scan_2`` before ``scan_10``."""
    parts = re.split("([0-9]+)", path.name)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def series_name(path: Path) -> str:
    """Name of a file with its last number left open, as a pattern: ``scan_*.tif``."""
    return re.sub("[0-9]+(?=[^0-9]*$)", "*", path.stem) + path.suffix


def is_pattern(path: Path) -> bool:
    """Whether it is a pattern of names, which has wildcards and is no name itself."""
    return has_magic(str(path)) and not path.exists()


def tiff_files(path: Path) -> tuple[Path, ...]:
    """The TIFF files of a folder, or those that a pattern means, in natural order.

    Raises
    ------
    FileError
        When there are none, or the folder holds several series of them.
    """
    found = [Path(name) for name in glob(str(path))] if is_pattern(path) else list(path.iterdir())
    files = [each for each in found if each.suffix.lower() in _SUFFIXES and not each.name.startswith(".")]
    if not files:
        what = "means no TIFF file" if is_pattern(path) else "is a folder that holds no TIFF files"
        raise FileError(f"{path} {what}: projections, flats and darks are read from .tif and .tiff files.")
    files.sort(key=natural)
    series: dict[str, int] = {}
    for each in files:
        series[series_name(each)] = series.get(series_name(each), 0) + 1
    if len(series) > 1 and not is_pattern(path):
        listed = ", ".join(f"{quoted(name)} ({count})" for name, count in list(series.items())[:6])
        raise FileError(
            f"{path} holds several series of files, {listed}{', ...' if len(series) > 6 else ''}: name one, "
            f"as in '{path / next(iter(series))}'."
        )
    return tuple(files)


@dataclass(frozen=True)
class _Image:
    """Shape and type of the image of a file, and where its values begin, None where they are compressed."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None


class TiffSeries:
    """Images of one shape in a file each, as an array (file, row, column) that is read when it is sliced.

    Parameters
    ----------
    files : sequence of Path
        In their order.
    what : str
        What holds them, for messages.

    Attributes
    ----------
    shape : (int, int, int)
    dtype : numpy.dtype
    chunks : (int, int, int), or None
        Where files are compressed, each is unpacked whole.

    Raises
    ------
    FileError
        When one of them is damaged, holds several images or colors, or differs from the first.
    """

    ndim = 3

    def __init__(self, files: Sequence[Path], what: str):
        self.files, self._what = tuple(files), what
        self._images = [_image(path) for path in files]
        first = self._images[0]
        for path, image in zip(self.files, self._images, strict=True):
            if image.shape != first.shape or image.dtype != first.dtype:
                raise FileError(
                    f"{path} holds {image.shape} {image.dtype}, and {files[0].name} {first.shape} "
                    f"{first.dtype}; the images of a series are alike. Name those that belong together by a "
                    f"pattern, as in '{files[0].parent / series_name(files[0])}'."
                )
        if len(first.shape) != 2:
            raise FileError(
                f"{files[0]} holds {first.shape}; the files of a series hold one gray image each."
            )
        self.dtype, (rows, columns) = first.dtype, first.shape
        self.shape = (len(self.files), rows, columns)
        self.size = len(self.files) * rows * columns
        self.chunks = None if all(image.offset is not None for image in self._images) else (1, rows, columns)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> np.ndarray:
        which, *inside = index if isinstance(index, tuple) else (index,)
        places = np.arange(len(self.files))[which]
        if places.ndim == 0:
            return self._part(int(places), tuple(inside))
        return np.stack([self._part(place, tuple(inside)) for place in places.tolist()])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _part(self, place: int, index: tuple[Any, ...]) -> np.ndarray:
        """Part of the image of a file: only its rows are read where it is not compressed."""
        import tifffile

        path, image = self.files[place], self._images[place]
        with parsing(path):  # also a file that was cut short
            if image.offset is None:
                return np.array(tifffile.imread(path)[index])
            values = np.memmap(path, image.dtype, "r", image.offset, image.shape)
            return np.array(values[index])


def _image(path: Path) -> _Image:
    import tifffile

    check_regular(path)
    with parsing(path), tifffile.TiffFile(path) as file:
        series, size = file.series[0], path.stat().st_size
        if len(file.series) > 1 or series.size * series.dtype.itemsize > 64 * max(size, 2**20):
            raise FileError(f"{path} holds {len(file.series)} images, or claims an absurd {series.shape}.")
        offset = series.dataoffset
        dtype = np.dtype(file.byteorder + series.dtype.char)
        if offset is not None and offset + series.size * dtype.itemsize > size:
            raise FileError(f"{path} is truncated: its values end after the file; copy it again.")
        return _Image(tuple(series.shape), dtype, offset)
