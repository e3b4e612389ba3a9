"""Images to files and back, some at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import torch

from invgen.core.errors import DataError, DtypeError, FileError, ShapeError
from invgen.core.memory import require_memory
from invgen.core.text import quoted
from invgen.plausibility.compression.coding import Coding, Prior
from invgen.plausibility.compression.container import Header, Reader, Writer
from invgen.priors.files.checkpoints import shipped

__all__ = ["CompressedImages", "compress", "decompress", "write_compressed"]


def compress(images: np.ndarray, prior: Prior) -> bytes:
    """Compress images without loss, to about as many bits as minus their log probability under the prior.

    >>> data = ig.plausibility.compress(digits, "digits-autoregressive")
    >>> bool((ig.plausibility.decompress(data) == digits).all())
    True

    Parameters
    ----------
    images : uint8 array
        Shape (*batch, H, W); for a prior of images with C channels (*batch, C, H, W) or (*batch, H, W, C).
        Whole numbers below the number of levels of the prior. Images of another size than the prior's are
        cut into tiles of its size. Where tiles stick out at the right and below, nothing is coded.
    prior : Autoregressive, ContextTable, VAE, HierarchicalVAE or VQVAE, or the name or the file of one
        `decompress` needs the same one. It finds it by itself where it is given by a name that comes with
        the package.

    Returns
    -------
    bytes
        See `invgen.plausibility.compression.container`. They are the same on every machine.

    Raises
    ------
    DtypeError, ShapeError, DataError
        For other arrays.
    CapabilityError
        For priors of which no code is known, or without the package `constriction`.
    """
    file = io.BytesIO()
    write_compressed(file, images, prior)
    return file.getvalue()


def decompress(data: bytes, prior: Prior | None = None) -> np.ndarray:
    """The images that `compress` was given.

    Parameters
    ----------
    data : bytes
    prior : prior, name or path, optional
        With which they were compressed; needed where it does not come with the package.

    Raises
    ------
    FileError
        Where the data are damaged, cut off, of another version, or of another prior.
    MemoryLimitError
    """
    file = CompressedImages(io.BytesIO(data), prior)
    require_memory(math.prod(file.shape), "The array of all images")
    images = np.empty((file.count, *file.image_shape), np.uint8)
    first = 0
    for block in file.blocks():
        images[first : first + len(block)] = block
        first += len(block)
    return images.reshape(file.shape)


def write_compressed(
    file: BinaryIO, images: np.ndarray, prior: Prior, *, advance: Callable[[int, int], None] | None = None
) -> None:
    """`compress` to a file, some images at a time: an array can be mapped from another file.

    Parameters
    ----------
    file : binary file
    images, prior
        As of `compress`.
    advance : callable(int, int), optional
        Called with the number of images that are done, and that of all.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, "dtype", type(images).__name__)
        raise DtypeError(f"compress takes an array of pixels of 8 bits, numpy's uint8; got {kind}.")
    coding = Coding(prior)
    layout = coding.layout(images.shape)
    tiling, at_once = coding.tiling(layout), coding.code.at_once
    writer = Writer(file, Header(coding.code.fingerprint, images.shape, coding.name))
    flat = images.reshape(layout.count, *layout.image)
    left, coded = np.empty((0, *coding.tile), np.uint8), 0
    # as many whole images as give a chunk
    step = -(-at_once // tiling.count)
    for first in range(0, layout.count, step):
        block = flat[first : first + step]
        if block.max() >= coding.levels:
            raise DataError(
                f"Pixels are 0 to {coding.levels - 1}, the levels of the prior; got {block.max()}."
            )
        left = np.concatenate([left, tiling.cut(layout.with_channels(block))])
        while len(left) >= at_once or (len(left) and first + step >= layout.count):
            tiles, left = left[:at_once], left[at_once:]
            inside = tiling.coded(coded, len(tiles))
            writer.chunk(tiles, coding.code.encode(torch.from_numpy(tiles).long(), inside))
            coded += len(tiles)
        if advance is not None:
            advance(first + len(block), layout.count)
    writer.end()


class CompressedImages:
    """A file of compressed images, which are decoded one after the other.

    Parameters
    ----------
    file : binary file
    prior : optional
        As of `decompress`.

    Attributes
    ----------
    shape : tuple of int
        Of the array of all images.
    count : int
        Number of images.
    image_shape : tuple of int
        Of each, as in the array.

    Raises
    ------
    FileError
    """

    def __init__(self, file: BinaryIO, prior: Prior | None = None) -> None:
        self._reader = Reader(file)
        header = self._reader.header
        if prior is None and header.name not in shipped():
            which = quoted(header.name) if header.name else "from a file"
            raise FileError(
                f"The images were compressed with a prior that does not come with this package ({which}): "
                "give that prior."
            )
        self._coding = Coding(header.name if prior is None else prior)
        if self._coding.code.fingerprint != header.fingerprint:
            which = f", {quoted(header.name)}" if header.name else ""
            raise FileError(
                f"The images were compressed with another prior{which}: {self._coding.prior} has other "
                "parameters."
            )
        try:
            self._layout = self._coding.layout(header.shape)
        except ShapeError as error:
            raise FileError("The file is damaged: its shape is none of its prior's images.") from error
        self.shape, self.count, self.image_shape = header.shape, self._layout.count, self._layout.image

    def blocks(self) -> Iterator[np.ndarray]:
        """All images, some at a time, uint8, ``(n, *image_shape)``; to be called once.

        Each block is what was compressed; that the file is complete is known after the last one.

        Raises
        ------
        FileError
        """
        require_memory(3 * math.prod(self.image_shape), "An image")
        code, tile, tiling = self._coding.code, self._coding.tile, self._coding.tiling(self._layout)
        total, kept, held = self.count * tiling.count, list[np.ndarray](), 0
        for first in range(0, total, code.at_once):
            number = min(code.at_once, total - first)
            data = self._reader.chunk(number, code.symbols)
            tiles = torch.zeros(number, *tile, dtype=torch.long)
            code.decode(data, tiles, tiling.coded(first, number))
            kept, held = [*kept, tiles.numpy().astype(np.uint8)], held + number
            self._reader.compare(kept[-1])
            if held >= tiling.count:
                together = np.concatenate(kept)
                held %= tiling.count
                whole = len(together) - held
                kept = [together[whole:]]
                yield self._layout.as_images(tiling.joined(together[:whole]))
        self._reader.end()
