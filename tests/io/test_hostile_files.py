"""Files that are damaged, absurd or malicious give one clear error, and never a crash, a hang or a secret."""

import os
import pickle
from contextlib import suppress

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile

from invgen.core.errors import DataError, FileError, InvgenError, ParameterError
from invgen.io import open_scan, read_reconstruction


def test_files_that_are_not_there_or_not_files(tmp_path):
    (tmp_path / "empty.h5").touch()
    os.mkfifo(tmp_path / "pipe.h5")
    for name, words in {
        "nothing.h5": "does not exist",
        "empty.h5": "empty",
        "pipe.h5": "no regular file",
        ".": "a folder",
    }.items():
        with pytest.raises(FileError, match=words):
            open_scan(tmp_path / name)


def test_files_of_another_kind(tmp_path):
    (tmp_path / "text.h5").write_text("angle,counts\n0,1\n" * 100)
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    for name in ("text.h5", "many.npz"):
        with pytest.raises(FileError, match="no HDF5, NPY, MAT or TIFF"):
            open_scan(tmp_path / name)
    with pytest.raises(FileError, match="no HDF5 file"):
        open_scan(tmp_path / "text.h5", format="dataexchange")
    with pytest.raises(ParameterError, match=r"one of dataexchange.*got 'tif'"):
        open_scan(tmp_path / "text.h5", format="tif")


def test_truncated_hdf5(data_exchange):
    path = data_exchange()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(FileError, match="truncated"):
        open_scan(path)
    with pytest.raises(FileError, match="truncated"):
        read_reconstruction(path)


@pytest.mark.parametrize("seed", range(40))
def test_corrupt_bytes_never_crash(data_exchange, nxtomo, seed):
    rng = np.random.default_rng(seed)
    path = (data_exchange if seed % 2 else nxtomo)()
    content = bytearray(path.read_bytes())
    for place in rng.integers(8, min(len(content), 6000), 30):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    with suppress(InvgenError), open_scan(path) as scan:  # any other error fails
        scan.info()
        scan.preprocess(0)


def test_damaged_chunk_is_an_error_of_its_own(data_exchange, raw):
    path = data_exchange(data=None)
    with h5py.File(path, "a") as file:
        data = file.create_dataset(
            "exchange/data", data=raw()["data"], chunks=(40, 1, 64), compression="gzip"
        )
        chunk = data.id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    with open_scan(path) as scan, pytest.raises(DataError, match="damaged"):
        scan.projections(0)


def test_external_storage_is_refused(data_exchange, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(2 * 40 * 3 * 64))
    path = data_exchange(data=None)
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "exchange/data", (40, 3, 64), "u2", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )
    for follow in (False, True):
        with pytest.raises(FileError, match=r"values in another file, '.*secret'"):
            open_scan(path, follow_links=follow)


def test_a_link_to_a_pipe_is_not_even_looked_at(nxtomo, tmp_path):
    """Asking h5py whether a name is in a group opens what an external link leads to: a pipe hangs."""
    os.mkfifo(tmp_path / "pipe.h5")
    path = nxtomo()
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/image_key"]
        file["entry/instrument/detector/image_key"] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "/key")
    with pytest.raises(FileError, match=r"image_key.*pipe\.h5 is no regular file"):
        open_scan(path)


def test_links_that_lead_to_themselves_end(data_exchange):
    path = data_exchange(data=None)
    with h5py.File(path, "a") as file:
        file["exchange/data"] = h5py.SoftLink("/exchange/data")
    with pytest.raises(FileError, match="leads to itself"):
        open_scan(path)
    with h5py.File(path, "a") as file:
        del file["exchange/data"]
        file["exchange/again"] = file["exchange"]  # a group inside of itself
    with pytest.raises(FileError, match="neither Data Exchange nor NXtomo"):
        open_scan(path)


def test_absurd_shapes_and_types(tmp_path):
    for name, shape, dtype, words in [
        ("huge", (2**20, 2**20, 2**20), "u1", "corrupt"),
        ("empty", (0, 5, 5), "u1", "none empty"),
        ("flat", (50,), "u1", "axes"),
        ("text", (4, 5, 6), "S3", "real numbers"),
        ("complex", (4, 5, 6), "c8", "real numbers"),
    ]:
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("exchange/data", shape, dtype, chunks=None if name != "huge" else (1, 64, 64))
            file["exchange/theta"] = np.zeros(4)
        with pytest.raises((DataError, ParameterError), match=words):
            open_scan(tmp_path / f"{name}.h5")


def test_missing_dataset_lists_those_that_are_there(data_exchange):
    with pytest.raises(FileError, match=r"no dataset 'exchange/date'.*exchange/data \(40, 3, 64\)"):
        open_scan(data_exchange(), dataset="exchange/date", axes="angle,row,column")


class _Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


def test_pickles_are_not_executed(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([_Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="pickled"):
        open_scan(tmp_path / "objects.npy", axes="angle,column")
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(FileError):
        open_scan(tmp_path / "bare.npy", axes="angle,column", format="npy")
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.zeros(3), "text"
    scipy.io.savemat(tmp_path / "cells.mat", {"cells": cells})
    with pytest.raises(FileError, match="real numbers"):
        open_scan(tmp_path / "cells.mat", dataset="cells", axes="angle,column")


@pytest.mark.parametrize("keep", [20, 60, 200, 600])
def test_truncated_arrays(tmp_path, keep):
    numbers = np.random.default_rng(0).random((20, 30))
    np.save(tmp_path / "a.npy", numbers)
    scipy.io.savemat(tmp_path / "a.mat", {"a": numbers})
    tifffile.imwrite(tmp_path / "a.tiff", numbers)
    for name in ("a.npy", "a.mat", "a.tiff"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:keep])
        with (
            pytest.raises(InvgenError),
            open_scan(tmp_path / name, dataset="a", axes="angle,column", angles=np.arange(20)) as scan,
        ):
            scan.projections(0)


def test_tiff_that_claims_an_absurd_shape(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", np.zeros((16, 16), "u1"), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tiff", mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[tag].overwrite(60000)
    with pytest.raises(FileError, match="absurd"):
        open_scan(tmp_path / "a.tiff", axes="angle,column")
