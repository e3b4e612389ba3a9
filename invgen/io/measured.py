"""Measured images in files: a picture, a folder of them, or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from invgen.core.errors import DataError
from invgen.io.images import picture_files, read_images, read_vectors
from invgen.io.scanfile import ScanFile

__all__ = ["MeasuredImages", "open_images"]


class MeasuredImages(ScanFile):
    """Images, or vectors of measurements, that stay in their files until they are asked for.

    Parameters
    ----------
    path : Path
    files : tuple of Path
        Of a folder, its pictures, which are read one at a time.
    arrays : sequence of array, or None
        What a single file holds.

    Attributes
    ----------
    slices : int
        Their number.
    """

    def __init__(self, path: Path, files: tuple[Path, ...], arrays: list[np.ndarray] | None):
        super().__init__(path)
        self._files, self._arrays = files, arrays
        self.slices = len(files) if arrays is None else len(arrays)

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures, or the file."""
        return self._files

    def measured(self, index: int) -> np.ndarray:
        """An image (H, W) or (3, H, W), or a vector (m,), float32.

        A color image whose channels are the same is a gray one.

        Raises
        ------
        FileError, DataError
            Where it is damaged, holds NaN, or complex numbers.
        """
        index = self._index(index, self.slices, "image")
        if self._arrays is None:
            (values,) = read_images(self._files[index])
        else:
            values = self._arrays[index]
        if values.dtype.kind == "c":
            raise DataError(f"{self.path} holds complex numbers; images are real.")
        if values.ndim == 3 and all(np.array_equal(values[0], channel) for channel in values[1:]):
            values = values[0]
        return np.ascontiguousarray(values)

    def info(self) -> dict[str, Any]:
        """Describe the images by the first of them, as plain data that JSON can hold."""
        first = self.measured(0)
        *channels, height, width = first.shape
        return {
            "path": str(self.path),
            "format": "images",
            "images": self.slices,
            "height": height,
            "width": width,
            "channels": channels[0] if channels else 1,
            "values": [float(first.min()), float(first.max())],
        }


def open_images(path: str | Path, *, dataset: str | None = None, vectors: bool = False) -> MeasuredImages:
    """Open measured images: whatever `read_images` reads.

    Parameters
    ----------
    path : path
    dataset : str, optional
        Which array of an HDF5 or NPZ file; needed where there are several.
    vectors : bool
        The file holds vectors of measurements, (m,) or (n, m), rather than images.

    Raises
    ------
    FileError, ShapeError, DataError
        As `read_images` does.
    """
    path = Path(path)
    if path.is_dir():
        return MeasuredImages(path, picture_files(path), None)
    read = read_vectors if vectors else read_images
    return MeasuredImages(path, (path,), read(path, dataset=dataset))
