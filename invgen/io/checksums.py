"""Files that have checksums, read to their end, where those are: a flipped bit is never another image."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from invgen.core.errors import FileError
from invgen.core.memory import require_memory

__all__ = ["BAD", "check_png", "read_npz", "read_rest", "require_bytes", "unpacked"]

#: What is raised by what unpacks damaged files.
BAD = (OSError, EOFError, ValueError, KeyError, IndexError, struct.error, zlib.error, zipfile.BadZipFile)

#: DEFLATE makes no more of a byte: a length that is claimed can be compared with the size of a file.
_MOST_OF_A_BYTE = 1032

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = 2**20


def unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip where its name ends so; the checksum is tested at its end."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def require_bytes(path: Path, count: int, copies: int = 0) -> None:
    """Refuse to unpack what a file cannot hold, or what there is no memory for.

    Parameters
    ----------
    path : Path
    count : int
        Bytes that its header claims.
    copies : int
        Bytes of what is made of them.

    Raises
    ------
    FileError, MemoryLimitError
    """
    size = path.stat().st_size * (_MOST_OF_A_BYTE if path.suffix.lower() == ".gz" else 1)
    if not 0 <= count <= size + 64:
        raise FileError(f"{path} is truncated, or its header is damaged: it claims {count:,} bytes.")
    require_memory(count + copies, str(path))


def read_rest(path: Path, file: BinaryIO, most: int) -> None:
    """Read what follows, which is not used, to the checksum at the end.

    Raises
    ------
    FileError
        When it is more than `most` bytes.
    """
    rest = 0
    while block := file.read(_CHUNK):
        rest += len(block)
        if rest > most:
            raise FileError(f"{path} holds more than its header says: it is damaged.")


def check_png(path: Path) -> None:
    """Test the checksum of each part of a PNG file, which its readers leave out for the pixels.

    Raises
    ------
    FileError
        When the file is damaged.
    """
    with path.open("rb") as file:
        if file.read(8) != _PNG:
            raise FileError(f"{path} cannot be read as a picture: its beginning is not that of a PNG file.")
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            found, left = zlib.crc32(kind), length
            while left and (block := file.read(min(left, _CHUNK))):
                found, left = zlib.crc32(block, found), left - len(block)
            stated = file.read(4)
            if len(stated) < 4:
                raise FileError(f"{path} cannot be read as a picture: it is truncated.")
            if int.from_bytes(stated, "big") != found:
                raise FileError(f"{path} cannot be read as a picture: a checksum does not fit its content.")


def read_npz(path: Path, name: str) -> np.ndarray:
    """Read an array of a NPZ file, whose checksum is tested; pickles are refused.

    Raises
    ------
    FileError, MemoryLimitError, BAD
    """
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.file_size > _MOST_OF_A_BYTE * path.stat().st_size:
            raise FileError(f"{path} is damaged: {name} claims {entry.file_size:,} bytes.")
        require_memory(2 * entry.file_size, str(path))
        content = io.BytesIO(archive.read(entry))  # as a whole, by which its checksum is tested
    version = np.lib.format.read_magic(content)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = read[version](content)
    if dtype.hasobject:
        raise FileError(f"{path} holds pickled Python objects, which are never executed; save plain numbers.")
    data = content.getbuffer()[content.tell() :]
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
