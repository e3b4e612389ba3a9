"""PNG files of one image."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from invgen.core.errors import FileError
from invgen.core.files import atomic_path
from invgen.io.formats.volume import SliceWriter

__all__ = ["PngWriter"]


class PngWriter(SliceWriter):
    """Write one image of 8 bits, in which 0 is black and 1 is white; what is beyond is clipped."""

    @classmethod
    def check(cls, path: Path, slices: int) -> None:
        """Refuse several images."""
        if slices > 1:
            raise FileError(
                f"{path} holds one image, and these are {slices}: choose one by --slices, or write them to a "
                ".h5, .tif or .npy file."
            )

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int]:
        self._target = stack.enter_context(atomic_path(self._path))
        return self._scratch(stack), 0

    def _finish(self) -> None:
        from PIL import Image

        levels = (255 * self._read(0).clip(0, 1)).round().astype(np.uint8)
        Image.fromarray(levels).save(self._target, format="PNG", optimize=True)
