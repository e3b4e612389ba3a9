"""Images to files and back, with any prior that has a code."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from os import PathLike
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

from invgen import priors
from invgen.core.errors import CapabilityError, DataError, DtypeError, FileError, ShapeError
from invgen.core.memory import require_memory
from invgen.core.text import quoted
from invgen.plausibility.compression.autoregressive import AutoregressiveCode, ContextTableCode
from invgen.plausibility.compression.container import AXES, Header, Reader, Writer
from invgen.plausibility.compression.latent import VAECode, VQVAECode
from invgen.plausibility.compression.tiles import Tiling
from invgen.priors.files.checkpoints import shipped

__all__ = ["CompressedImages", "compress", "decompress", "write_compressed"]

#: A prior, or its name or file.
Prior = Any


class Code(Protocol):
    """A lossless code of images of one size by a prior."""

    fingerprint: bytes
    at_once: int

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """The code of levels ``(N, C, H, W)``, int64, where `coded`, ``(N, H, W)``, is true."""

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """Fill in the pixels of images that are coded."""


_CODES: dict[type, Callable[[Any], Code]] = {
    priors.Autoregressive: AutoregressiveCode,
    priors.ContextTable: ContextTableCode,
    priors.VAE: VAECode,
    priors.VQVAE: VQVAECode,
}


def compress(images: np.ndarray, prior: Prior) -> bytes:
    """Compress images without loss, to about as many bits as minus their log probability under the prior.

    >>> data = ig.plausibility.compress(digits, "digits-autoregressive")
    >>> (ig.plausibility.decompress(data) == digits).all()
    True

    Parameters
    ----------
    images : uint8 array, shape (*batch, H, W), or (*batch, C, H, W) for a prior of images with channels
        Whole numbers below the number of levels of the prior. Images of another size than the prior's are
        cut into tiles of its size, of which those at the edges are coded only where they lie within the
        image.
    prior : Autoregressive, ContextTable, VAE or VQVAE, or the name or the file of one
        The decoder needs the same one. By a name that comes with the package, it finds it by itself.

    Returns
    -------
    bytes
        As `invgen.plausibility.compression.container` describes it. The same on every machine.

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
    """
    file = CompressedImages(io.BytesIO(data), prior)
    require_memory(2 * math.prod(file.shape), "The compressed images")
    images = np.empty((file.count, *file.shape[file.batch_axes :]), np.uint8)
    first = 0
    for block in file.blocks():
        images[first : first + len(block)] = block
        first += len(block)
    return images.reshape(file.shape)


def write_compressed(
    file: BinaryIO, images: np.ndarray, prior: Prior, *, advance: Callable[[int], None] | None = None
) -> None:
    """`compress` to a file, some images at a time: `images` may be mapped from a file.

    Parameters
    ----------
    file : binary file
    images, prior
        As of `compress`.
    advance : callable(int), optional
        Called with the number of images that were written since the last call.
    """
    coding = _Coding(prior)
    axes = coding.axes
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, "dtype", type(images).__name__)
        raise DtypeError(f"compress takes an array of uint8, such as pixels of 8 bits; got {kind}.")
    if not axes <= images.ndim <= AXES or 0 in images.shape[-axes:]:
        raise ShapeError(
            f"compress takes images (*batch, {'C, ' * (axes == 3)}H, W) of {AXES} axes at most; got "
            f"{images.shape}."
        )
    tiling = coding.tiling(images.shape)
    writer = Writer(file, Header(coding.code.fingerprint, images.shape, coding.name))
    flat = images.reshape(-1, *images.shape[images.ndim - axes :])
    # whole images, and whole chunks of tiles
    waiting, first = np.empty((0, *coding.tile), np.uint8), 0
    for image in _blocks(flat, max(1, coding.code.at_once // tiling.count)):
        if image.max() >= coding.levels:
            raise DataError(
                f"The prior is one of images of {coding.levels} levels, 0 to {coding.levels - 1}; got "
                f"{image.max()}."
            )
        channels = image.reshape(len(image), -1, *image.shape[-2:])
        waiting = np.concatenate([waiting, tiling.cut(channels)])
        done = first + len(waiting) == len(flat) * tiling.count
        while len(waiting) >= coding.code.at_once or (done and len(waiting)):
            tiles, waiting = np.split(waiting, [coding.code.at_once])
            levels = torch.from_numpy(tiles).long()
            writer.chunk(tiles, coding.code.encode(levels, tiling.coded(first, len(tiles))))
            first += len(tiles)
        if advance is not None:
            advance(len(image))
    writer.end()


def _blocks(images: np.ndarray, count: int) -> Iterator[np.ndarray]:
    for first in range(0, len(images), count):
        yield np.ascontiguousarray(images[first : first + count])


class CompressedImages:
    """A file of compressed images, whose blocks are decoded one after the other.

    Parameters
    ----------
    file : binary file
    prior : optional
        As of `decompress`.

    Attributes
    ----------
    shape : tuple of int
        Of the array of all images.
    batch_axes : int
        Number of its axes that are not an image's own.
    count : int
        Number of images.

    Raises
    ------
    FileError
    """

    def __init__(self, file: BinaryIO, prior: Prior | None = None) -> None:
        self._reader = Reader(file)
        header = self._reader.header
        if prior is None and header.name not in shipped():
            own = f"{quoted(header.name)}, which this invgen has not" if header.name else "one of a file"
            raise FileError(f"it was compressed with another prior than those here, {own}: give the prior.")
        self._coding = coding = _Coding(header.name if prior is None else prior)
        if coding.code.fingerprint != header.fingerprint:
            named = f" It was compressed with {quoted(header.name)}." if header.name else ""
            raise FileError(f"it was compressed with another prior than {coding.prior}.{named}")
        self.shape, self.batch_axes = header.shape, len(header.shape) - coding.axes
        if self.batch_axes < 0 or 0 in self.shape[self.batch_axes :]:
            raise FileError("its header is damaged.")
        self.count = math.prod(self.shape[: self.batch_axes])
        self._tiling = coding.tiling(self.shape)

    def blocks(self) -> Iterator[np.ndarray]:
        """All images, uint8, some at a time: ``(n, *image)``.

        They are those that were compressed; but only once the last one is there, all of the file is checked.

        Raises
        ------
        FileError
        """
        coding, tiling, pixels = self._coding, self._tiling, math.prod(self._coding.tile)
        waiting = np.empty((0, *coding.tile), np.uint8)
        total = self.count * tiling.count
        for first in range(0, total, coding.code.at_once):
            number = min(coding.code.at_once, total - first)
            code = self._reader.chunk(number, pixels)
            tiles = torch.zeros(number, *coding.tile, dtype=torch.long)
            coding.code.decode(code, tiles, tiling.coded(first, number))
            self._reader.compare(found := tiles.numpy().astype(np.uint8))
            waiting = np.concatenate([waiting, found])
            whole, waiting = np.split(waiting, [len(waiting) // tiling.count * tiling.count])
            if len(whole):
                images = tiling.joined(whole)
                yield images.reshape(len(images), *self.shape[self.batch_axes :])
        self._reader.end()


class _Coding:
    """A prior, its code, and the images that it is for.

    Raises
    ------
    CapabilityError
    """

    def __init__(self, prior: Prior) -> None:
        named = isinstance(prior, str | PathLike)
        self.name = prior if isinstance(prior, str) and prior in shipped() else ""
        self.prior = priors.load(prior) if named else prior
        build = _CODES.get(type(self.prior))
        if build is None:
            raise CapabilityError(
                "compress takes a prior whose probabilities are computed in whole numbers, "
                f"{', '.join(kind.__name__ for kind in _CODES)}; got {type(self.prior).__name__}."
            )
        images = self.prior.image_format
        if images.levels is not None and images.levels > 256:
            raise CapabilityError(f"compress takes pixels of 8 bits; the prior has {images.levels} levels.")
        self.code, self.levels, self.axes = build(self.prior), images.levels, images.axes
        self.tile = (images.network_channels, *images.shape[-2:])

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        """Of images of an array of this shape.

        Raises
        ------
        ShapeError
            For another number of channels.
        """
        if self.axes == 3 and shape[-3] != self.tile[0]:
            raise ShapeError(f"The prior is one of images of {self.tile[0]} channels; got the array {shape}.")
        height, width = shape[-2:]
        return Tiling((height, width), (self.tile[1], self.tile[2]))
