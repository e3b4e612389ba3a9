"""The truth that `invgen simulate` leaves in a scan."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch

from invgen.errors import FileError
from invgen.io.hdf5 import find_object, open_hdf5


class Truth:
    """True images of a simulated scan, read one at a time.

    Parameters
    ----------
    path : str or Path
        The scan.

    Raises
    ------
    FileError
        When it has none, or cannot be read.
    """

    def __init__(self, path: str | Path):
        self.name = Path(path).stem
        self._file = open_hdf5(Path(path))
        images = find_object(self._file, "truth/image")
        if not isinstance(images, h5py.Dataset) or images.ndim != 3:
            self._file.close()
            raise FileError(
                f"{path} is neither a reconstruction nor a simulated scan, which holds its truth."
            )
        self._images = images
        self.shape: tuple[int, int] = images.shape[1:]

    def __getitem__(self, row: int) -> torch.Tensor:
        """Image of a detector row, shape (H, W), in 1/length."""
        if row >= len(self._images):
            raise FileError(
                f"{self._file.filename} has a truth of {len(self._images)} slices; there is no {row}."
            )
        return torch.from_numpy(self._images[row])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Truth:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
