"""NPY files, with what they cannot hold as JSON beside them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from invgen.core.files import atomic_path
from invgen.io.formats.volume import SliceWriter

__all__ = ["NpyWriter", "aside"]


def aside(path: Path) -> Path:
    """The file beside it."""
    return path.with_name(f"{path.name}.json")


class NpyWriter(SliceWriter):
    """Write images as they are, (n, H, W), in color (n, H, W, 3), a single one (H, W); complex ones complex.

    Several frames have an axis before all others.

    Spacing, orientation, units and settings have no place in such a file: those of scans stand in
    ``<name>.json``.
    """

    holds_complex = True

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int]:
        if self._volume.modality != "image":
            stack.enter_context(atomic_path(aside(self._path))).write_text(self._volume.description)
        file, shape = self._beside(stack), self._volume.stored_shape
        if self._volume.frames is not None:
            shape = (self._volume.frames, self._volume.slices, *shape)
        elif self._volume.slices > 1 or len(shape) == 3:
            shape = (self._volume.slices, *shape)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file, file.tell()
