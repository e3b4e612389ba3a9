"""Images on disk without anything beside them: PNG, TIFF and NPY files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from invgen.core.errors import FileError
from invgen.core.files import atomic_path

__all__ = ["PICTURES", "PictureWriter"]

#: Suffixes of the files that are written.
PICTURES = (".png", ".tif", ".tiff", ".npy")


class PictureWriter:
    """Write images to a file by its suffix; it appears under its name when all of them are there.

    PNG files hold one image of 8 bits, in which 0 is black and 1 is white; what is beyond is clipped. TIFF
    and NPY files hold float32, as it is: images (H, W), or (n, H, W) where there are several, color in a last
    axis of three. Color images in NPY files are always (n, H, W, 3), which `read_images` reads.

    Parameters
    ----------
    path : str or Path
        Of a suffix in `PICTURES`.
    count : int
        Number of images: of PNG files, one.

    Raises
    ------
    FileError
        When the file cannot be written, or a PNG file would hold several images.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        self._path, self._images = Path(path), [np.empty(0)] * count
        if self._path.suffix.lower() == ".png" and count > 1:
            raise FileError(
                f"{path} holds one image, and these are {count}: choose one by --slices, or write them to a "
                ".h5, .tif or .npy file."
            )

    def __enter__(self) -> PictureWriter:
        with ExitStack() as stack:
            self._beside = stack.enter_context(atomic_path(self._path))
            self._stack = stack.pop_all()
        return self

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Take an image (H, W) or (3, H, W); report and samples have no place in such a file."""
        values = image.detach().cpu().float().numpy()
        self._images[index] = values if values.ndim == 2 else np.moveaxis(values, 0, -1)

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            self._save()

    def _save(self) -> None:
        whole = np.stack(self._images)
        color, suffix = whole.ndim == 4, self._path.suffix.lower()
        if suffix == ".npy":
            np.save(self._beside, whole if color or len(whole) > 1 else whole[0])
            return
        if suffix == ".png":
            from PIL import Image

            levels = (255 * whole[0].clip(0, 1)).round().astype(np.uint8)
            Image.fromarray(levels).save(self._beside, format="PNG", optimize=True)
            return
        import tifffile

        pages = whole if len(whole) > 1 else whole[0]
        tifffile.imwrite(self._beside, pages, photometric="rgb" if color else "minisblack")
