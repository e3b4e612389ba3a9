"""Writing images: the formats of files, by their names and suffixes.

A format is one file in `invgen.io.formats`, with a `SliceWriter`, and a line of `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from invgen.core.errors import FileError, ParameterError
from invgen.io.formats.dicom import DicomWriter
from invgen.io.formats.nifti import NiftiWriter
from invgen.io.formats.npy import NpyWriter
from invgen.io.formats.png import PngWriter
from invgen.io.formats.tiff import TiffWriter
from invgen.io.formats.volume import SliceWriter
from invgen.io.formats.zarr import ZarrWriter

__all__ = ["IMAGE_FORMATS", "ImageFile", "format_of"]


@dataclass(frozen=True)
class ImageFile:
    """A format of images.

    Attributes
    ----------
    suffixes : tuple of str
        The first is the usual one.
    writer : type, or None
        None is `ReconstructionWriter`, whose files hold more than images.
    folder : bool
        Whether it may be a folder, whose name ends with no suffix of another format.
    """

    suffixes: tuple[str, ...]
    writer: type[SliceWriter] | None
    folder: bool = False

    def has(self, path: Path) -> bool:
        """Whether the name is one of this format."""
        return path.name.lower().endswith(self.suffixes)


#: Formats by their names.
IMAGE_FORMATS: dict[str, ImageFile] = {
    "hdf5": ImageFile((".h5", ".hdf5"), None),
    "nifti": ImageFile((".nii", ".nii.gz"), NiftiWriter),
    "dicom": ImageFile((".dcm",), DicomWriter, folder=True),
    "tiff": ImageFile((".tif", ".tiff"), TiffWriter),
    "npy": ImageFile((".npy",), NpyWriter),
    "zarr": ImageFile((".zarr",), ZarrWriter),
    "png": ImageFile((".png",), PngWriter),
}


def format_of(path: Path, stated: str | None = None) -> str | None:
    """Name of the format that a file is written in: as stated, else by its suffix; None where that has none.

    Raises
    ------
    ParameterError
        When the format is none of `IMAGE_FORMATS`.
    FileError
        When the name of the file is one of another format than is stated.
    """
    own = next((name for name, form in IMAGE_FORMATS.items() if form.has(path)), None)
    if stated is None or stated == own:
        return own
    if stated not in IMAGE_FORMATS:
        raise ParameterError(f"the format of images is one of {', '.join(IMAGE_FORMATS)}; got {stated!r}.")
    form = IMAGE_FORMATS[stated]
    if own is not None or not form.folder:
        folder = ", or be that of a folder" if form.folder else ""
        raise FileError(
            f"{path} is to be written as {stated}: its name should end with {_either(form.suffixes)}{folder}."
        )
    return stated


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
