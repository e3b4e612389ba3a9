"""What a reconstruction is compared with: the truth of a simulated scan or image, or a scan's reference."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from invgen.core.errors import FileError, InvgenError
from invgen.io import MeasuredImages, MRIScan, is_picture, open_images, open_scan
from invgen.io.hdf5 import Dataset, File, find_object, get_dataset, open_hdf5, text_attribute

__all__ = ["Truth"]


class Truth:
    """Images that a scan's file holds, or pictures, read one at a time; of complex ones, the modulus.

    Parameters
    ----------
    path : str or Path
        The scan: one that `invgen simulate` made, or a fastMRI file with its reconstruction. Or true images:
        pictures, a folder of them or a NPY file.

    Attributes
    ----------
    label : {"truth", "reference"}
        The second is a reconstruction that the file holds.
    shape : (int, int), of color images (3, int, int)

    Raises
    ------
    FileError
        When it has none, or cannot be read.
    """

    def __init__(self, path: str | Path):
        with ExitStack() as stack:
            self.shape: tuple[int, ...]
            if _holds_pictures(Path(path)):
                pictures = stack.enter_context(open_images(path))
                self._images: Dataset | MRIScan | MeasuredImages = pictures
                self.label, self._first, self._count = "truth", 0, pictures.slices
                self.shape = pictures.measured(0).shape
                self._path, self._stack = path, stack.pop_all()
                return
            file = stack.enter_context(open_hdf5(Path(path)))
            images = find_object(file, "truth/image")
            if isinstance(images, Dataset) and images.ndim == 3:
                self._images = images
                self.label, self._first, self._count = "truth", _first_row(file, images), len(images)
                self.shape = images.shape[1:]
            else:
                self._images = stack.enter_context(_with_reference(path))
                self.label, self._first, self._count = "reference", 0, self._images.slices
                height, width = self._reference(0).shape
                self.shape = height, width
            self._path, self._stack = path, stack.pop_all()

    def __getitem__(self, row: int) -> torch.Tensor:
        """Image of a slice, shape (H, W) or (3, H, W), real."""
        slices = range(self._first, self._first + self._count)
        if row not in slices:
            raise FileError(
                f"{self._path} has a {self.label} of slices {slices[0]} to {slices[-1]}; there is no "
                f"{row}: choose others by --slices."
            )
        if isinstance(self._images, MRIScan):
            return self._reference(row)
        if isinstance(self._images, MeasuredImages):
            return torch.from_numpy(self._images.measured(row))
        image = torch.from_numpy(self._images[row - self._first])
        return image.abs() if image.is_complex() else image

    def _reference(self, row: int) -> torch.Tensor:
        assert isinstance(self._images, MRIScan)
        image = self._images.reference(row)
        assert image is not None, "as opened"
        return image

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def __enter__(self) -> Truth:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _holds_pictures(path: Path) -> bool:
    return path.is_dir() or is_picture(path) or path.suffix.lower() in (".npy", ".tif", ".tiff")


def _first_row(file: File, images: Dataset) -> int:
    """Slice of the scan that the first image is of."""
    truth = find_object(file, "truth")
    if truth is None or text_attribute(truth, "geometry") != "cone":
        return 0
    # the rows of a cone-beam camera see its slices and as much above and below, see simulate_ct
    return (get_dataset(file, "exchange/data").shape[1] - len(images)) // 2


def _with_reference(path: str | Path) -> MRIScan:
    with suppress(InvgenError):  # a file that takes more words to be read
        scan = open_scan(path)
        if isinstance(scan, MRIScan) and scan.reference(0) is not None:
            return scan
        scan.close()
    raise FileError(
        f"{path} is neither a reconstruction, nor a simulated scan, which holds its truth, nor an MRI scan "
        "with a reconstruction of its own."
    )
