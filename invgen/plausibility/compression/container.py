r"""Files of compressed images, byte by byte.

Numbers are little-endian. A file is a header, chunks until there are as many tiles as the shape has, and an
end; nothing follows it.

=======  =======  =======================================================================================
offset   bytes    header
=======  =======  =======================================================================================
0        8        ``89 49 56 47 0D 0A 1A 0A``: what is not ASCII, "IVG", and ends of lines as in PNG, which
                  a transfer as text would change
8        2        version of the format: 1
10       1        type of the pixels: 1, uint8
11       1        number of axes a of the array, 2 to 8
12       4        number of bytes m of the name
16       32       fingerprint of the prior: BLAKE2b of its settings and of its parameters in whole numbers
48       8 a      shape of the array
48+8a    m        name of the prior in ASCII, where it comes with the package, else nothing
48+8a+m  4        checksum
=======  =======  =======================================================================================

======  =======  =======================================================================================
offset  bytes    chunk
======  =======  =======================================================================================
0       4        number of tiles
4       4        number of bytes k of their code
8       4        checksum
12      k        code: words of 4 bytes of a range coder; for a `VAE` or a
                 `HierarchicalVAE` see `invgen.plausibility.compression.bits_back.BitsBackCode`
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
the size of the prior's images, follow row by row from the upper left corner, and those of the array image by
image. All chunks but the last have one number of tiles. It follows from the prior, as does which axes of the
array are those of an image: the last two; for a prior of images with C channels the last three, (C, H, W)
where that fits, else (H, W, C).
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

#: Of the header after the magic: version, type, axes, length of the name, fingerprint.
_HEADER, _LONGEST_NAME = struct.Struct("<HBBI32s"), 255

#: Number of axes of an array, at most.
AXES = 8

#: Bytes of the code of a symbol, at most (one takes up to 24 bits), and of what belongs to a tile and to a
#: chunk beside: steps, and the ends of coders.
_OF_SYMBOL, _OF_TILE, _OF_CHUNK = 4, 2**12, 2**16


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
        Of a prior that comes with the package, or nothing.
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
        axes, name = len(header.shape), header.name.encode()
        fixed = _HEADER.pack(_VERSION, _UINT8, axes, len(name), header.fingerprint)
        self._put(_MAGIC + fixed + struct.pack(f"<{axes}Q", *header.shape) + name)
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
        if not magic:
            raise FileError("The file is empty.")
        if magic != _MAGIC:
            raise FileError("The file does not begin as one of compressed images does.")
        self._sum = zlib.crc32(magic)
        version, kind, axes, length, fingerprint = _HEADER.unpack(self._get(_HEADER.size))
        if version != _VERSION:
            raise FileError(
                f"The file has version {version} of the format; this invgen reads version {_VERSION}."
            )
        if kind != _UINT8 or axes > AXES or length > _LONGEST_NAME:
            raise FileError("The file is damaged: its header makes no sense.")
        shape = struct.unpack(f"<{axes}Q", self._get(8 * axes))
        name = self._get(length)
        self._check("the header")
        self.header = Header(fingerprint, shape, name.decode(errors="replace"))

    def chunk(self, number: int, symbols: int) -> bytes:
        """The code of the next tiles, so many of so many symbols each."""
        found, length = struct.unpack("<II", self._get(8))
        self._check("a chunk")
        if found != number or length > _OF_CHUNK + number * (_OF_TILE + _OF_SYMBOL * symbols):
            raise FileError("The file is damaged: it has a chunk that makes no sense.")
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
                "The decoded images do not have their checksum: another version of invgen or constriction "
                "wrote the file, or this machine does not compute by IEEE 754."
            )

    def end(self) -> None:
        """Raise unless the file ends here, with the checksum of all images."""
        digest = self._get(32)
        self._check("the end")
        if digest != self._pixels.digest():
            raise FileError("The decoded images do not have their checksum.")
        if self._file.read(1):
            raise FileError("More bytes follow the end of the file.")

    def _get(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise FileError("The file is truncated.")
        self._sum = zlib.crc32(data, self._sum)
        return data

    def _check(self, what: str) -> None:
        if self._file.read(4) != struct.pack("<I", self._sum):
            raise FileError(f"The file is damaged or truncated: {what} does not have its checksum.")
