"""Images compressed without loss by a prior, from file to file, some at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invgen.core.errors import FileError
from invgen.core.files import atomic_folder, atomic_path, check_regular
from invgen.core.text import brief
from invgen.io import read_pixels
from invgen.pipeline.inputs import probe_inputs
from invgen.pipeline.outputs import check_output, require_room
from invgen.plausibility.compression import CompressedImages, write_compressed

__all__ = ["Sizes", "compress_file", "decompress_file"]

#: Called with the number of images that are done, and that of all.
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Sizes:
    """What was compressed, and to what.

    Attributes
    ----------
    shape : tuple of int
        Of the array of images.
    length : int
        Bytes of the compressed file.
    """

    shape: tuple[int, ...]
    length: int

    @property
    def bits(self) -> float:
        """For each pixel of each channel."""
        return 8 * self.length / max(1, math.prod(self.shape))


def compress_file(
    images: Path, output: Path, prior: str, *, dataset: str | None = None, advance: Advance
) -> Sizes:
    """Compress images of 8 bits into a file, for `decompress_file`.

    Parameters
    ----------
    images : Path
        As of `invgen.io.read_pixels`.
    output : Path
    prior : str
        The name of a prior that comes with the package, or a file of one.
    dataset : str, optional
        Which array of an HDF5 or NPZ file.
    advance : callable(int, int)

    Raises
    ------
    FileError, ShapeError, DataError, CapabilityError
    """
    probe_inputs(images, prior)
    check_output(output, images, prior)
    pixels = read_pixels(images, dataset=dataset)
    with atomic_path(output) as beside, beside.open("wb") as file:
        write_compressed(file, pixels, prior, advance=advance)
        length = file.tell()
    return Sizes(pixels.shape, length)


def decompress_file(compressed: Path, output: Path, prior: str | None, *, advance: Advance) -> Sizes:
    """Write the images of a compressed file; they appear under their name once all of it is checked.

    Parameters
    ----------
    compressed : Path
    output : Path
        A NPY file of the array that was compressed; a PNG file of a single image; or, by a name without a
        suffix, a new folder of a PNG file for each image.
    prior : str, optional
        As of `compress_file`; needed where it does not come with the package.
    advance : callable(int, int)

    Raises
    ------
    FileError
        Where the file is damaged, of another version or of another prior; where the output cannot be written.
    """
    check_regular(compressed)
    probe_inputs(prior)
    if output.suffix.lower() not in (".npy", ".png", ""):
        raise FileError(
            f"{output}: images are written as .npy, a single one as .png, or as a folder of PNG files by a "
            "name without a suffix."
        )
    if output.suffix:
        check_output(output, compressed, prior)
    with compressed.open("rb") as file:
        with _named(compressed):
            opened = CompressedImages(file, prior)
        require_room(output, math.prod(opened.shape))
        blocks = _counted(compressed, opened, advance)
        if output.suffix.lower() == ".npy":
            _write_npy(output, opened.shape, blocks)
        else:
            _write_pictures(output, opened, blocks)
    return Sizes(opened.shape, compressed.stat().st_size)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except FileError as error:
        raise FileError(f"{path} cannot be decompressed. {brief(error, 300)}.") from error


def _counted(path: Path, opened: CompressedImages, advance: Advance) -> Iterator[np.ndarray]:
    done = 0
    with _named(path):
        for block in opened.blocks():
            yield block
            done += len(block)
            advance(done, opened.count)


def _write_npy(output: Path, shape: tuple[int, ...], blocks: Iterator[np.ndarray]) -> None:
    with atomic_path(output) as beside, beside.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block.tobytes())


def _write_pictures(output: Path, opened: CompressedImages, blocks: Iterator[np.ndarray]) -> None:
    from PIL import Image

    shape = opened.image_shape
    if len(shape) == 3 and 3 not in (shape[0], shape[-1]):
        raise FileError(f"{output}: a PNG file is gray or has three colors; these images are {shape}.")

    def save(image: np.ndarray, path: Path) -> None:
        color_last = image if image.ndim == 2 or image.shape[-1] == 3 else np.moveaxis(image, 0, -1)
        Image.fromarray(np.ascontiguousarray(color_last)).save(path, format="PNG", optimize=True)

    if output.suffix:
        if opened.count != 1:
            raise FileError(
                f"{output} holds one image, and these are {opened.count}: write a .npy file, or a folder by "
                "a name without a suffix."
            )
        with atomic_path(output) as beside:
            for block in blocks:
                save(block[0], beside)
        return
    digits, number = len(str(max(0, opened.count - 1))), 0
    with atomic_folder(output) as folder:
        for block in blocks:
            for image in block:
                save(image, folder / f"{number:0{digits}}.png")
                number += 1
