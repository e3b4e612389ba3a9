"""Filters that h5py lacks: read where hdf5plugin is installed, and named where it is not."""

import builtins
import subprocess
import sys

import h5py
import numpy as np
import pytest

from invgen.core.errors import InvgenError
from invgen.io import open_scan

FILTERS = ["Bitshuffle", "Blosc", "Blosc2", "LZ4", "Zstd", "BZip2"]

WRITE = """
import sys, h5py, hdf5plugin, numpy as np
path, name = sys.argv[1:]
with h5py.File(path, "a") as file:
    data = file["exchange/data"][:]
    del file["exchange/data"]
    file.create_dataset("exchange/data", data=data, chunks=(1, 3, 64), **getattr(hdf5plugin, name)())
"""


@pytest.fixture
def compressed(data_exchange):
    """Compress the projections of a scan, in a process of its own: importing hdf5plugin registers filters."""
    pytest.importorskip("hdf5plugin")

    def write(name):
        path = data_exchange()
        subprocess.run([sys.executable, "-c", WRITE, str(path), name], check=True)
        return path

    return write


READ = """
import sys
import numpy as np
if sys.argv[2] == "hidden":
    sys.modules["hdf5plugin"] = None
from invgen.io import open_scan
with open_scan(sys.argv[1]) as scan:
    assert sys.argv[2] == "hidden" or "hdf5plugin" not in sys.modules
    np.save(sys.argv[3], scan.projections(1).data.numpy())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_hdf5plugin(compressed, tmp_path, raw, name):
    """In processes of their own: it is imported when it is needed; without it the filter is named."""
    path, out = compressed(name), tmp_path / "out.npy"
    subprocess.run([sys.executable, "-c", READ, path, "there", out], check=True)
    assert np.array_equal(np.load(out), raw()["data"][:, 1])
    hidden = subprocess.run(
        [sys.executable, "-c", READ, path, "hidden", out], check=False, capture_output=True, text=True
    )
    last = hidden.stderr.strip().splitlines()[-1]
    assert name.lower() in last.lower()
    assert "pip install 'invgen[hdf5plugin]'" in last
    assert "damaged" not in last


@pytest.mark.parametrize("installed", [True, False])
def test_a_filter_that_nobody_has_is_named_by_its_number(data_exchange, monkeypatch, installed):
    path = data_exchange(data=None)
    with h5py.File(path, "a") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 3, 64))
        plist.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((40, 3, 64))
        made = h5py.h5d.create(file["exchange"].id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
        made.write_direct_chunk((0, 0, 0), bytes(10))
    if not installed:
        importing = builtins.__import__

        def hidden(name, *rest):
            if name == "hdf5plugin":
                raise ImportError(name)
            return importing(name, *rest)

        monkeypatch.setattr(builtins, "__import__", hidden)
    with open_scan(path) as scan, pytest.raises(InvgenError, match="the filter number 40000"):
        scan.projections(0)
