"""Cone beams larger than memory: kept on disk, and reconstructed as in memory."""

import os

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.disk import OnDisk, Room, Rows, loaded, on_disk, volumes_in
from invgen.core.errors import FileError, MemoryLimitError
from invgen.io import open_scan
from invgen.pipeline.larger import room_for
from invgen.pipeline.shards import Kept, names_in, read_solved, write_shard
from invgen.pipeline.slices import Solved
from invgen.simulate import simulate_ct
from invgen.solvers.methods import find

from .cluster_cases import threads

METHODS = {
    "fbp": {},
    "sirt": {"iterations": 3},
    "ossart": {"iterations": 2, "settings": {"subsets": 5}},
    "tv": {"iterations": 2, "weight": 5.0, "settings": {"inner_steps": 3}},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_volume_is_that_in_memory(method, scans, tmp_path):
    options = {"solver": method, "center": 7.7, **METHODS[method]}
    whole = ig.reconstruct(scans["cone"], **options)
    assert not any("slab by slab" in said for said in spoken(scans["cone"], None, "8G", options))
    output = tmp_path / "volume.h5"
    said = spoken(scans["cone"], output, "90K", options)
    assert sum("slab by slab" in sentence for sentence in said) == 1
    with h5py.File(output) as file:
        found = torch.as_tensor(file["reconstruction"][:])
        assert len(file["report"]) == len(found)
    assert float((found - whole.images).norm() / whole.images.norm()) < 1e-5
    assert os.listdir(tmp_path) == ["volume.h5"]


def spoken(scan, output, limit, options):
    said = []
    with ig.memory_limit(limit):
        ig.reconstruct(scan, output, notice=said.append, **options)
    return said


def test_a_volume_on_disk_is_kept_in_a_shard_and_read_on_disk(tmp_path):
    x = torch.rand(7, 4, 5)
    solved = Solved(on_disk(x, Room(tmp_path, 200)), None, ((),) * 7, {"iterations": 3})
    shard = tmp_path / "shard.npz"
    write_shard(shard, {"0": solved})
    with np.load(shard) as arrays:
        assert np.array_equal(arrays["0.images"], x)
    with volumes_in(tmp_path), ig.memory_limit("1K"):
        found = read_solved(Kept(shard, "0")).images
    assert isinstance(found, OnDisk)
    assert torch.equal(loaded(found), x)
    assert torch.equal(read_solved(Kept(shard, "0")).images, x)
    shard.write_bytes(shard.read_bytes().replace(x[5].numpy().tobytes(), x[6].numpy().tobytes()))
    with volumes_in(tmp_path), ig.memory_limit("1K"):
        assert not names_in(shard)


def test_workers_keep_volumes_on_disk_too(scans, tmp_path):
    pytest.importorskip("distributed")
    options = {"solver": "ossart", "center": 7.7, **METHODS["ossart"]}
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    spoken(scans["cone"], here, "90K", options)
    with threads(1) as client:
        said = spoken(scans["cone"], there, "90K", {**options, "executor": client})
    assert any("slab by slab" in each for each in said)
    with h5py.File(here) as one, h5py.File(there) as other:
        assert np.array_equal(one["reconstruction"], other["reconstruction"])
    assert sorted(os.listdir(tmp_path)) == ["here.h5", "there.h5"]


def test_chosen_slices_and_a_window_of_them(scans, tmp_path):
    options = {"solver": "fbp", "center": 7.7, "slices": slice(1, 4, 2), "roi": (slice(2, 9), slice(3, 11))}
    whole = ig.reconstruct(scans["cone"], **options)
    with ig.memory_limit("50K"):
        found = ig.reconstruct(scans["cone"], tmp_path / "part.h5", **options)
    with h5py.File(found.path) as file:
        torch.testing.assert_close(torch.as_tensor(file["reconstruction"][:]), whole.images)


def test_few_counts_have_their_likelihood(tmp_path):
    scan = tmp_path / "dim.h5"
    geometry = {"geometry": "cone", "size": 16, "views": 40, "slices": 8, "center_offset": 0.0}
    simulate_ct(scan, "shepp-logan", photons=60, **geometry)
    options = {"solver": "tv", "center": 7.5, "weight": 2.0, "iterations": 2, "settings": {"inner_steps": 3}}
    whole = ig.reconstruct(scan, **options)
    with ig.memory_limit("300K"):
        said = []
        found = ig.reconstruct(scan, notice=said.append, **options)
    assert any("slab by slab" in each for each in said)
    assert any("Poisson likelihood" in each for each in said)
    assert float((found.images - whole.images).norm() / whole.images.norm()) < 1e-5


def test_views_lost_in_some_rows_and_a_panel_that_is_rolled(scans, tmp_path):
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(scans["cone"].read_bytes())
    with h5py.File(damaged, "a") as file:
        data = file["exchange/data"][:]
        data[7] = 0
        file["exchange/data"][:] = data
    with open_scan(damaged) as scan:
        choice = {"center": 7.7, "tilt": 0.02}
        whole, found = scan.panel(**choice), scan.panel(**choice, room=Room(tmp_path, 2000))
    assert isinstance(found.data, OnDisk)
    assert len(found.data) == len(whole.data) == 29
    torch.testing.assert_close(loaded(found.data), whole.data)
    torch.testing.assert_close(loaded(found.std), whole.std)
    assert str(found.coverage()) == str(whole.coverage())


def test_rows_gather_in_blocks(tmp_path):
    rows = torch.arange(60.0).reshape(5, 3, 4)
    for room in (None, Room(tmp_path, 1), Room(tmp_path, 500)):
        gathered = Rows(5, room)
        for row in rows:
            gathered.add(row)
        assert torch.equal(loaded(gathered.together()), rows.transpose(0, 1))


def test_methods_that_need_the_whole_volume_are_refused_as_before(scans, tmp_path):
    assert room_for(find("cg", "cone"), 10**12, 10**12, lambda said: None) is None
    with ig.memory_limit("9K"), pytest.raises(MemoryLimitError, match="panel of 30 views"):
        ig.reconstruct(scans["cone"], tmp_path / "volume.h5", solver="cg", center=7.7)


def test_a_volume_that_turns_out_wider_than_the_detector_is_kept_on_disk_too(tmp_path):
    scan, options = tmp_path / "half.h5", {"solver": "sirt", "center": 4.0, "fov": 11.5, "iterations": 2}
    simulate_ct(scan, "shepp-logan", geometry="cone", size=16, views=30, slices=4)
    whole = ig.reconstruct(scan, **options)
    # if it were as wide as the detector 223 KiB would do
    with ig.memory_limit("250K"):
        said = []
        found = ig.reconstruct(scan, notice=said.append, **options)
    assert any("slab by slab" in each for each in said)
    torch.testing.assert_close(found.images, whole.images, rtol=1e-5, atol=1e-6)


def test_a_disk_that_is_too_full_is_said_before_the_work(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with ig.memory_limit("90K"), pytest.raises(FileError, match="has no room for it"):
        ig.reconstruct(scans["cone"], solver="fbp", center=7.7)
