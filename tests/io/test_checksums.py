"""A flipped bit of a file with a checksum is an error, or changes nothing; bombs are refused by a bound."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zlib

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

import invgen as ig
from invgen.core.errors import FileError, InvgenError, MemoryLimitError
from invgen.io import read_images
from invgen.io.arrays import load_mat

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (3, 12, 9), dtype=np.uint8)


def idx(images=IMAGES):
    return struct.pack(f">HBB{images.ndim}I", 0, 8, images.ndim, *images.shape) + images.tobytes()


def nifti(images=IMAGES):
    return nibabel.Nifti1Image(np.moveaxis(images, 0, -1).astype(np.int16), np.eye(4)).to_bytes()


def png(image=IMAGES[0]):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def npz(save):
    buffer = io.BytesIO()
    save(buffer, images=IMAGES)
    return buffer.getvalue()


FILES = {
    "idx.gz": gzip.compress(idx(), mtime=0),
    "nii.gz": gzip.compress(nifti(), mtime=0),
    "png": png(),
    "packed.npz": npz(np.savez_compressed),
    "plain.npz": npz(np.savez),
}


def fletcher(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, fletcher32=True, chunks=(1, 12, 9), compression="gzip")


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path, kind):
    content, path = FILES[kind], tmp_path / f"images-idx.{kind}"
    path.write_bytes(content)
    right = read_images(path)
    assert all(np.isfinite(image).all() for image in right)
    messages = []
    for bit in range(0, 8 * len(content), 13):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_images(path)
        except InvgenError as error:
            messages.append(str(error))
            continue
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"bit {bit}")
    assert len(messages) > 0.5 * 8 * len(content) / 13
    assert all(message.isprintable() and len(message) < 400 for message in messages)


def test_a_flipped_bit_of_hdf5_with_checksums(tmp_path):
    path = tmp_path / "images.h5"
    fletcher(path)
    content = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(1)
    for bit in range(8 * chunk.byte_offset, 8 * (chunk.byte_offset + chunk.size), 29):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FileError, match="cannot be read"):
            read_images(path, dataset="images")


def test_a_flipped_bit_of_a_matlab_variable(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "a.mat"
    savemat(path, {"a": IMAGES.astype(float)}, do_compression=True)
    content = path.read_bytes()
    for bit in range(8 * 136, 8 * len(content), 41):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(load_mat(path, "a"), IMAGES)
        except FileError:
            continue


def test_cut_files_are_damaged_and_not_shorter(tmp_path):
    for kind, content in FILES.items():
        path = tmp_path / f"images-idx.{kind}"
        for length in range(1, len(content), 37):
            path.write_bytes(content[:length])
            with pytest.raises(FileError):
                read_images(path)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_bombs_are_refused_before_memory_is_asked_for(tmp_path):
    """Gigabytes are claimed, and truly there in a few of them; a few megabytes are used to find out."""
    side = 8_000
    rows = zlib.compressobj(9)
    row = bytes(side + 1)
    packed = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    with gzip.open(tmp_path / "a.idx.gz", "wb", compresslevel=9) as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, 70, 1000, 1000))
        for _ in range(70):
            file.write(bytes(1_000_000))
    volume = nibabel.Nifti1Image(np.broadcast_to(np.int16(0), (1000, 1000, 60)), np.eye(4))
    nibabel.save(volume, tmp_path / "a.nii.gz")
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((60, 1000, 1000), np.uint8))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8000, 8000), np.uint8), compression="zlib")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (1000, 2000, 2000), "f4", chunks=(1, 100, 100), fillvalue=1)
    tracemalloc.start()
    with ig.memory_limit("50M"):
        for path in sorted(tmp_path.iterdir()):
            tracemalloc.reset_peak()
            with pytest.raises(MemoryLimitError, match=r"needs .* more than 50 MiB"):
                read_images(path, dataset="images" if path.suffix == ".h5" else None)
            assert tracemalloc.get_traced_memory()[1] < 10 * 2**20, path
    tracemalloc.stop()


def test_claims_that_no_file_of_the_size_holds_are_damage(tmp_path):
    path = tmp_path / "idx"
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31) + b"0" * 100)
    with pytest.raises(FileError, match="truncated, or its header is damaged"):
        read_images(path)
    path = tmp_path / "idx.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31)))
    with pytest.raises(FileError, match="truncated, or its header is damaged"):
        read_images(path)
    path.write_bytes(gzip.compress(idx() + b"more"))
    with pytest.raises(FileError, match="more than its header says"):
        read_images(path)
