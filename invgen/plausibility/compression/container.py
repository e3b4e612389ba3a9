r"""Files of compressed images, byte by byte.

Numbers are little-endian. A file is a header, chunks until there are as many tiles as the shape has, and an
end; nothing follows it.

======  =======  =======================================================================================
offset  bytes    header
======  =======  =======================================================================================
0       8        ``89 49 56 47 0D 0A 1A 0A``: what is not ASCII, "IVG", and ends of lines as in PNG, which
                 a transfer as text would change
8       2        version of the format: 1
10      1        type of the pixels: 1, uint8
11      1        number of axes a of the array, 2 to 8
12      32       fingerprint of the prior: BLAKE2b of its settings and of its parameters in whole numbers
44      8 a      shape of the array
44+8a   1        number of bytes m of the name
45+8a   m        name of the prior in UTF-8, where it comes with the package, else nothing
45+8a+m 4        checksum
======  =======  =======================================================================================

======  =======  =======================================================================================
offset  bytes    chunk
======  =======  =======================================================================================
0       4        number of tiles
4       4        number of bytes k of their code
8       4        checksum
12      k        code: of autoregressive priors words of 4 bytes of a range coder, of a `VAE` as of
                 `invgen.plausibility.compression.latent.VAECode`
12+k    4        CRC-32 of the pixels of these tiles, ``(tiles, C, h, w)``, zero outside of the image
16+k    4        checksum
======  =======  =======================================================================================

======  =======  =======================================================================================
offset  bytes    end
======  =======  =======================================================================================
0       32       BLAKE2b of the pixels of all tiles
32      4        checksum
======  =======  =======================================================================================

Each checksum is the CRC-32 of all bytes of the file before it, checksums left out. The tiles of an image, of
the size of the prior's images, follow row by row from the upper left corner; those of the array image by
image, the last two axes, or three for priors with channels, being those of an image. A chunk has the same
number of tiles as the one before, but for the last.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

import numpy as np

from invgen.core.errors import FileError

__all__ = ["AXES", "Header", "Reader", "Writer"]

_MAGIC, _VERSION, _UINT8 = b"\x89IVG\r\n\x1a\n", 1, 1

#: Number of axes of an array, at most.
AXES = 8

#: Bytes of the code of a pixel, at most (a symbol takes up to 24 bits), and of what stands before.
_PER_PIXEL, _BEFORE = 4, 2**16


@dataclass(frozen=True)
class Header:
    """What a file says before its images.

    Attributes
    ----------
    fingerprint : bytes
        Of the prior, 32 bytes.
    shape : tuple of int
        Of the array.
    name : str
        Of a prior that comes with the package.
    """

    fingerprint: bytes
    shape: tuple[int, ...]
    name: str


class Writer:
    """Write header, chunks and end, one after the other.

    Parameters
    ----------
    file : binary file
    header : Header
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file, self._sum, self._pixels = file, 0, blake2b(digest_size=32)
        name = header.name.encode()
        self._put(_MAGIC + struct.pack("<HBB", _VERSION, _UINT8, len(header.shape)) + header.fingerprint)
        self._put(struct.pack(f"<{len(header.shape)}QB", *header.shape, len(name)) + name)
        self._check()

    def chunk(self, tiles: np.ndarray, code: bytes) -> None:
        """Write the code of tiles, uint8 (n, C, h, w)."""
        pixels = tiles.tobytes()
        self._pixels.update(pixels)
        self._put(struct.pack("<II", len(tiles), len(code)))
        self._check()
        self._put(code + struct.pack("<I", zlib.crc32(pixels)))
        self._check()

    def end(self) -> None:
        """Write the end."""
        self._put(self._pixels.digest())
        self._check()

    def _put(self, data: bytes) -> None:
        self._sum = zlib.crc32(data, self._sum)
        self._file.write(data)

    def _check(self) -> None:
        self._file.write(struct.pack("<I", self._sum))


class Reader:
    """Read what `Writer` writes; `header` is there at once.

    Parameters
    ----------
    file : binary file

    Raises
    ------
    FileError
        From each step, where the file is another one, cut off, or changed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sum, self._pixels = file, 0, blake2b(digest_size=32)
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            raise FileError(
                "it is empty." if not magic else "it does not begin as a file of compressed images does."
            )
        self._sum = zlib.crc32(magic)
        version, kind, axes = struct.unpack("<HBB", self._get(4))
        if version != _VERSION:
            raise FileError(f"it has version {version} of the format; this invgen reads version {_VERSION}.")
        if kind != _UINT8 or not 2 <= axes <= AXES:
            raise FileError("its header is damaged.")
        fingerprint = self._get(32)
        *shape, length = struct.unpack(f"<{axes}QB", self._get(8 * axes + 1))
        name = self._get(length)
        self._check("its header")
        self.header = Header(fingerprint, tuple(shape), name.decode(errors="replace"))

    def chunk(self, number: int, pixels: int) -> bytes:
        """The code of the next tiles, so many of so many pixels each."""
        found, length = struct.unpack("<II", self._get(8))
        self._check("a chunk")
        if found != number or length > _BEFORE + number * (1 + _PER_PIXEL * pixels):
            raise FileError("a chunk of it is damaged.")
        code = self._get(length)
        (self._expected,) = struct.unpack("<I", self._get(4))
        self._check("a chunk")
        return code

    def compare(self, tiles: np.ndarray) -> None:
        """Raise unless the tiles, decoded from the last chunk, are those that were encoded."""
        pixels = tiles.tobytes()
        self._pixels.update(pixels)
        if zlib.crc32(pixels) != self._expected:
            raise FileError(
                "its images do not have their checksum: another version of invgen or constriction wrote it, "
                "or this machine does not compute by IEEE 754."
            )

    def end(self) -> None:
        """Raise unless the file ends here, with the checksum of all images."""
        digest = self._get(32)
        self._check("its end")
        if digest != self._pixels.digest():
            raise FileError("its images do not have their checksum.")
        if self._file.read(1):
            raise FileError("more bytes follow its end.")

    def _get(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise FileError("it is truncated.")
        self._sum = zlib.crc32(data, self._sum)
        return data

    def _check(self, what: str) -> None:
        if self._file.read(4) != struct.pack("<I", self._sum):
            raise FileError(f"{what} is damaged or truncated.")
