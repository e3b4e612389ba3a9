"""Files cut off, changed, of another version or another prior: refused, never a wrong image."""

import struct
import zlib

import numpy as np
import pytest
import torch

from invgen import priors
from invgen.core.errors import FileError, MemoryLimitError
from invgen.plausibility import compress, decompress


@pytest.fixture(scope="module")
def small():
    return priors.Autoregressive.untrained((4, 4), levels=16, mixtures=0, width=2, layers=1)


@pytest.fixture(scope="module")
def data(small):
    return compress(np.random.default_rng(0).integers(0, 16, (9, 4, 4)).astype(np.uint8), small)


def test_the_file_is_as_documented(small, data):
    """Read byte by byte by the description alone."""
    assert data[:8] == bytes.fromhex("89 49 56 47 0D 0A 1A 0A")
    assert struct.unpack_from("<HBBI", data, 8) == (1, 1, 3, 0)
    assert struct.unpack_from("<3Q", data, 48) == (9, 4, 4)
    tiles, length = struct.unpack_from("<II", data, 76)
    assert (tiles, len(data)) == (9, 76 + 12 + length + 8 + 36)
    kept = b""
    for part, end in ((data[:72], 72), (data[76:84], 84), (data[88 : 92 + length], 92 + length)):
        kept += part
        assert struct.unpack_from("<I", data, end)[0] == zlib.crc32(kept)
    images = decompress(data, small)
    assert struct.unpack_from("<I", data, 88 + length)[0] == zlib.crc32(images.tobytes())


def all_found(data, prior, bits):
    """Whether files in which one of these bits is another are all refused."""
    for bit in bits:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(FileError):
            decompress(bytes(changed), prior)


def test_a_changed_bit_is_found(small, data):
    all_found(data, small, range(0, 8 * len(data), 11))


@pytest.mark.slow
def test_every_changed_bit_is_found(small, data):
    all_found(data, small, range(8 * len(data)))


@pytest.mark.slow
def test_a_changed_bit_is_found_with_all_priors(prior, pictures):
    data = compress(pictures(prior.image_format.shape, 3), prior)
    all_found(data, prior, range(0, 8 * len(data), 9))


def test_a_part_is_found_to_be_one(small, data):
    with pytest.raises(FileError, match="empty"):
        decompress(b"", small)
    for length in range(1, len(data), 7):
        with pytest.raises(FileError):
            decompress(data[:length], small)
    with pytest.raises(FileError, match="follow"):
        decompress(data + b"\0", small)


def resealed(data, start, new):
    """With other bytes in the header, and the checksum that belongs to them."""
    header = bytearray(data[:72])
    header[start : start + len(new)] = new
    return bytes(header) + struct.pack("<I", zlib.crc32(bytes(header))) + data[76:]


def test_another_version_is_refused(small, data):
    with pytest.raises(FileError, match="version 2"):
        decompress(resealed(data, 8, b"\2\0"), small)


def test_another_prior_is_refused(small, data):
    other = priors.Autoregressive.untrained((4, 4), levels=16, mixtures=0, width=2, layers=1, seed=1)
    with pytest.raises(FileError, match="another prior"):
        decompress(data, other)
    with pytest.raises(FileError, match="give that prior"):
        decompress(data)
    with pytest.raises(FileError, match="another prior"):
        decompress(data, priors.ContextTable.fit(torch.rand(2, 4, 4), levels=16))


def test_the_same_prior_from_a_file_is_the_same(small, data, tmp_path):
    small.save(tmp_path / "prior.safetensors")
    assert (decompress(data, tmp_path / "prior.safetensors") == decompress(data, small)).all()


def test_no_memory_is_asked_for_that_a_file_claims(small, data):
    with pytest.raises(MemoryLimitError):
        decompress(resealed(data, 48, struct.pack("<Q", 2**50)), small)
    with pytest.raises(MemoryLimitError):
        decompress(resealed(data, 48, struct.pack("<3Q", 1, 2**30, 2**30)), small)
    for shape in ((9, 0, 4), (2**64 - 1, 1, 0)):
        with pytest.raises(FileError, match="shape"):
            decompress(resealed(data, 48, struct.pack("<3Q", *shape)), small)


@pytest.mark.parametrize("code", [b"", b"\0\0\0", b"\xff" * 16, bytes(16), b"\xff" * 64, bytes(range(64))])
def test_codes_that_nobody_wrote_are_refused(prior, pictures, code):
    """Whatever stands where the pixels should be, under checksums that fit."""
    data = compress(pictures(prior.image_format.shape, 3), prior)
    start = 48 + 8 * (1 + len(prior.image_format.shape)) + 4
    (length,) = struct.unpack_from("<I", data, start + 4)
    head, pixels = struct.pack("<II", 3, len(code)), data[start + 12 + length : start + 16 + length]
    kept = zlib.crc32(data[: start - 4] + head)
    both = zlib.crc32(code + pixels, kept)
    forged = data[:start] + head + struct.pack("<I", kept) + code + pixels + struct.pack("<I", both)
    with pytest.raises(FileError):
        decompress(forged + data[start + 20 + length :], prior)
