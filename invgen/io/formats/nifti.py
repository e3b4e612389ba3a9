"""NIfTI files: Cox et al. (2004), A (sort of) new image data format standard: NIfTI-1."""

from __future__ import annotations

import gzip
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from invgen.core.files import atomic_path
from invgen.io.formats.volume import SliceWriter

__all__ = ["NiftiWriter"]

#: From the coordinates of DICOM, LPS, to those of NIfTI, RAS.
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Codes of sform and qform: scanner coordinates, and those of something else.
_SCANNER, _ALIGNED = 1, 2
#: Longest axis of NIfTI-1; NIfTI-2 takes more.
_LONGEST = 2**15 - 1


class NiftiWriter(SliceWriter):
    """Write a volume, float32, its axes (column, row, slice), to a .nii or .nii.gz file.

    sform and qform place it in space, in mm where the size of pixels is known; their code is that of scanner
    coordinates, and "aligned" where the scan does not state where it is. All else stands as JSON in an
    extension of the header, a comment.
    """

    holds_color = False

    @classmethod
    def bytes_per_value(cls, path: Path, complex: bool) -> int:
        """Of float32, twice where it is yet to be compressed."""
        return 8 if path.suffix.lower() == ".gz" else 4

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int]:
        self._target = None
        if self._path.suffix.lower() == ".gz":  # compressed at the end: images come in any order
            self._target = stack.enter_context(atomic_path(self._path))
        file = self._beside(stack) if self._target is None else self._scratch(stack)
        self._header().write_to(file)
        return file, file.tell()

    def _finish(self) -> None:
        if self._target is None:
            return
        self._numbers.seek(0)
        with self._target.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            shutil.copyfileobj(self._numbers, file, 2**20)

    def _header(self) -> Any:
        from nibabel.nifti1 import Nifti1Extension, Nifti1Header
        from nibabel.nifti2 import Nifti2Header

        volume, place = self._volume, self._volume.placement
        rows, columns = volume.image_shape
        shape = (columns, rows, volume.slices)
        header = Nifti1Header() if max(shape) <= _LONGEST else Nifti2Header()
        header.set_data_dtype(self._dtype)
        header.set_data_shape(shape)
        affine, code = _RAS @ place.affine, _SCANNER if place.stated else _ALIGNED
        header.set_qform(affine, code)
        header.set_sform(affine, code)
        header.set_xyzt_units("mm" if place.unit == "mm" else "unknown")
        header["descrip"] = f"invgen: {volume.quantity}"
        header.extensions.append(Nifti1Extension("comment", volume.description.encode()))
        return header
