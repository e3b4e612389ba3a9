"""The truth that `invgen simulate` leaves in a scan."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch

from invgen.errors import FileError
from invgen.io.hdf5 import find_object, get_dataset, open_hdf5, text_attribute


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
        # the rows of a cone-beam camera see its slices and as much above and below, see simulate_ct
        rows = get_dataset(self._file, "exchange/data")
        cone = text_attribute(images.parent, "geometry") == "cone"
        self._first = (rows.shape[1] - len(images)) // 2 if cone else 0
        self.shape: tuple[int, int] = images.shape[1:]

    def __getitem__(self, row: int) -> torch.Tensor:
        """Image of a detector row, shape (H, W), in 1/length."""
        slices = range(self._first, self._first + len(self._images))
        if row not in slices:
            raise FileError(
                f"{self._file.filename} has a truth of slices {slices[0]} to {slices[-1]}; there is no "
                f"{row}: choose others by --slices."
            )
        return torch.from_numpy(self._images[row - self._first])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Truth:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
