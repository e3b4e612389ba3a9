"""Runs that are killed, stopped, or meet a full disk, and then go on: to the bytes of an undisturbed one.

What a kill leaves is taken from a run at that moment; `benchmarks.reliability` kills processes. Results are
written one by one here: elsewhere they wait for ten seconds.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError, ParameterError
from invgen.pipeline import progress
from invgen.pipeline.ct import SliceBySlice
from invgen.pipeline.place import Place, folder_of
from invgen.pipeline.shards import Kept, names_in, read_solved
from invgen.pipeline.work import Work


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every result is written, by runs that all began at the same time."""
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")


#: Scan, output, and what is done.
CASES = {
    "tv": ("parallel", "image.h5", {"solver": "tv", "iterations": 5}),
    "samples": ("parallel", "image.h5", {"solver": "dds", "samples": 2, "iterations": 3, "seed": 7}),
    "fbp, nifti": ("parallel", "image.nii.gz", {}),
    "tiff": ("parallel", "image.tif", {}),
    "dicom": ("parallel", "image", {"image_format": "dicom"}),
    "samples, npy": ("parallel", "image.npy", {"solver": "dds", "samples": 2, "iterations": 3}),
    "mri": ("grid", "image.h5", {"solver": "cg-sense"}),
    "pictures": ("picture", "image.h5", {"operator": "blur:1.0", "noise_std": 0.05, "iterations": 5}),
}


@pytest.fixture
def run(scans, prior, picture):
    """Run one of the cases into a folder."""

    def run(name, folder, **more):
        scan, output, recipe = CASES[name]
        learned = {"prior": prior} if "samples" in recipe else {}
        path = {**scans, "picture": picture}[scan]
        folder.mkdir(exist_ok=True)
        return ig.reconstruct(path, folder / output, device="cpu", **{**recipe, **learned, **more})

    return run


def content(folder):
    """Bytes of all files in a folder, those under it too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cleared(folder):
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def killed(work, folder, after=2):
    """Do work, and leave the folder as it was when so many shards were written: as a kill leaves it then."""
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as place:
        plain, then, written = Place.write, Path(place) / "then", []

        def write(self, results):
            plain(self, results)
            written.append(results)
            if len(written) == after:
                shutil.copytree(folder, then)

        patched.setattr(Place, "write", write)
        work()
        cleared(folder)
        shutil.copytree(then, folder, dirs_exist_ok=True)


def solves(monkeypatch):
    """First slices of all that is computed from here on."""
    found, plain = [], Work.finished

    def finished(self, read, result):
        found.append(read.slices.start)
        return plain(self, read, result)

    monkeypatch.setattr(Work, "finished", finished)
    return found


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(run, name, tmp_path, monkeypatch):
    run(name, tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    killed(lambda: run(name, tmp_path), tmp_path)
    assert folder_of(tmp_path / CASES[name][1]).is_dir()
    assert not any(path in content(tmp_path) for path in undisturbed)
    computed, said = solves(monkeypatch), []
    run(name, tmp_path, resume=True, notice=said.append)
    assert computed == list(range(2, 2 + len(computed)))
    assert any(line.startswith("2 of ") for line in said)
    assert content(tmp_path) == undisturbed


def damage(path, place=-200):
    """Change a byte."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_damaged_shard_is_computed_again(run, tmp_path, monkeypatch):
    run("tv", tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    killed(lambda: run("tv", tmp_path), tmp_path)
    first, second = sorted(folder_of(tmp_path / "image.h5").glob("[!.]*.npz"))
    damage(first, len(first.read_bytes()) // 2)
    second.write_bytes(second.read_bytes()[:-300])
    computed = solves(monkeypatch)
    run("tv", tmp_path, resume=True)
    assert computed == [0, 1, 2, 3]
    assert content(tmp_path) == undisturbed


def test_any_changed_byte_of_a_shard_is_noticed_or_changes_nothing(run, tmp_path):
    killed(lambda: run("samples", tmp_path), tmp_path, after=1)
    (shard,) = folder_of(tmp_path / "image.h5").glob("*.npz")
    whole = shard.read_bytes()
    kept = Kept(shard, "0")
    expected = read_solved(kept)
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        damage(shard, place)
        if names_in(shard):
            found = read_solved(kept)
            assert torch.equal(found.images, expected.images)
            assert torch.equal(found.samples, expected.samples)
            assert (found.reports, found.iterations) == (expected.reports, expected.iterations)
        shard.write_bytes(whole)


#: What is said of other options.
OTHERS = {
    "--iterations was 3 where it was begun, and is 4": {"iterations": 4},
    "--seed was 7 where it was begun, and is 8": {"seed": 8},
    "--image-format was not given where it was begun, and is tiff": {"image_format": "tiff"},
}


def test_another_run_is_refused_with_the_reason_and_stays_as_it_is(run, scans, prior, tmp_path, monkeypatch):
    killed(lambda: run("samples", tmp_path), tmp_path)
    before = content(tmp_path)
    for said, more in OTHERS.items():
        with pytest.raises(ParameterError, match=f"cannot be resumed: {said}"):
            run("samples", tmp_path, resume=True, **more)
    changed = json.loads((folder_of(tmp_path / "image.h5") / "run.json").read_text())
    changed["versions"]["torch"] = "1"
    with monkeypatch.context() as patched:
        patched.setattr(progress, "read_json", lambda path, what: changed)
        with pytest.raises(ParameterError, match="begun with torch 1, and"):
            run("samples", tmp_path, resume=True)
    for path, said in ((scans["parallel"], "has changed since"), (prior, "has changed since")):
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
        with pytest.raises(ParameterError, match=f"{path.name} {said}"):
            run("samples", tmp_path, resume=True)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with monkeypatch.context() as patched:
        patched.setattr(Work, "fingerprint_of_prior", lambda self: "of another")
        with pytest.raises(ParameterError, match="prior has other weights"):
            run("samples", tmp_path, resume=True)
    assert content(tmp_path) == before
    run("samples", tmp_path, resume=True)


def test_without_resume_it_is_said_once_and_what_was_left_goes(run, tmp_path):
    run("tv", tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    killed(lambda: run("tv", tmp_path), tmp_path)
    said = []
    run("tv", tmp_path, notice=said.append)
    assert sum("--resume would go on from there" in line for line in said) == 1
    assert content(tmp_path) == undisturbed


def test_where_nothing_is_kept_resume_begins_anew(run, tmp_path):
    said = []
    run("tv", tmp_path, resume=True, notice=said.append)
    assert any(line.startswith("Nothing is kept") for line in said)
    assert list(content(tmp_path)) == ["image.h5"]
    with pytest.raises(ParameterError, match="give output="):
        ig.reconstruct(tmp_path / "image.h5", resume=True)


def test_the_folder_of_a_run_at_work_is_its_own(run, tmp_path):
    def second(done, total):
        if done == 2:
            with pytest.raises(FileError, match="that of another process, which is at work"):
                run("tv", tmp_path, resume=True)
            with pytest.raises(FileError, match="that of another process, which is at work"):
                run("tv", tmp_path)

    run("tv", tmp_path, advance=second)
    assert list(content(tmp_path)) == ["image.h5"]


@pytest.mark.parametrize("beside", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_an_iteration_from_which_it_goes_on(
    run, tmp_path, number, beside, monkeypatch
):
    """One slice after another, and two beside one another."""
    monkeypatch.setattr(SliceBySlice, "at_once", beside)
    run("tv", tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    plain, parts = SliceBySlice.compute, dict.fromkeys(range(4), 0)

    def stopped(self, read, part):
        def own(fraction):
            (row,) = read.slices
            parts[row] += 1
            part(fraction)
            if row == 1 and parts[row] == 2:
                os.kill(os.getpid(), number)
                while True:
                    time.sleep(0.01)
                    part(fraction)

        return plain(self, read, own)

    monkeypatch.setattr(SliceBySlice, "compute", stopped)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"Stopped. \d of 4 slices of .* goes on with"):
            run("tv", tmp_path)
    finally:
        signal.signal(number, before)
    assert list(folder_of(tmp_path / "image.h5").glob("1-*.state"))
    parts[1] = 10  # it is stopped no more
    run("tv", tmp_path, resume=True)
    assert parts[1] == 10 + 3
    assert content(tmp_path) == undisturbed


def test_what_was_stopped_in_its_first_seconds_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 1e9)  # of which this run takes less

    def stop(done, total):
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("tv", tmp_path, advance=stop)
    assert not content(tmp_path)


@pytest.mark.parametrize("name", [".npz", ".h5"])
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(run, tmp_path, name, monkeypatch):
    """Full when the third shard is written, or when the output is flushed."""
    run("tv", tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    fsync, seen = os.fsync, []

    def full(handle):
        path = os.readlink(f"/proc/self/fd/{handle}")
        seen.append(path)
        if path.endswith(f".part{name}") and sum(each.endswith(name) for each in seen) > 2 * (name == ".npz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(FileError, match=r"cannot be written: the disk is full\. Nothing is left"):
            run("tv", tmp_path)
    assert "image.h5" not in content(tmp_path)
    computed = solves(monkeypatch)
    run("tv", tmp_path, resume=True)
    assert len(computed) < 4
    assert content(tmp_path) == undisturbed


def test_without_room_for_both_nothing_is_kept(run, tmp_path, monkeypatch):
    said, plain = [], shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=16_000, plain=plain))

    def seen(done, total):
        assert not folder_of(tmp_path / "image.h5").exists()

    run("tv", tmp_path, notice=said.append, advance=seen)
    assert any("no room for what is kept" in line for line in said)
    assert list(content(tmp_path)) == ["image.h5"]


def test_the_folder_of_an_output_is_beside_it_whatever_its_name():
    assert folder_of(Path("/a/image.h5")) == Path("/a/.image.h5.progress")
    long = [folder_of(Path("/a") / (side + "ü" * 120)) for side in "ab"]
    assert len(set(long)) == 2
    assert all(len(os.fsencode(folder.name)) <= 255 for folder in long)


def test_a_state_from_which_a_slice_cannot_go_on_is_left(run, tmp_path):
    """One that is damaged, or of other bits: the slice begins anew."""
    run("tv", tmp_path)
    undisturbed = content(tmp_path)
    cleared(tmp_path)
    killed(lambda: run("tv", tmp_path), tmp_path)
    (folder_of(tmp_path / "image.h5") / "2-0.state").write_bytes(b"no state")
    run("tv", tmp_path, resume=True)
    assert content(tmp_path) == undisturbed
