"""Whatever is wrong: one message, an exit code, and nothing half-written under the final name."""

from __future__ import annotations

import errno
import signal
import time

import h5py
import numpy as np
import pytest

from invgen.io import ReconstructionWriter


@pytest.fixture
def damaged(scan, tmp_path):
    """A copy of the scan, changed by a function of the open file."""

    def make(change):
        path = tmp_path / "damaged.h5"
        path.write_bytes(scan.read_bytes())
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def replaced(file, name, values):
    del file[name]
    file[name] = values


def nothing_in(folder):
    return not [path for path in folder.iterdir() if "out" in path.name]


def test_truncated_hdf5(refused, scan, tmp_path):
    short = tmp_path / "short.h5"
    short.write_bytes(scan.read_bytes()[:-20_000])
    for words in (("info", short), ("recon", short, "-o", tmp_path / "out.h5")):
        assert "is truncated" in refused(*words)
    assert nothing_in(tmp_path)


def test_no_hdf5(refused, tmp_path):
    text = tmp_path / "notes.h5"
    text.write_text("not a scan\n")
    assert "is no HDF5" in refused("recon", text, "-o", tmp_path / "out.h5")
    assert "does not exist" in refused("info", tmp_path / "absent.h5")
    assert "is a folder" in refused("info", tmp_path)


def test_missing_dataset(refused, scan, tmp_path):
    words = ("--dataset", "entry/nowhere", "--axes", "angle,row,column")
    assert "entry/nowhere" in refused("recon", scan, "-o", tmp_path / "out.h5", *words)


CHANGES = {
    "angles": (
        lambda file: replaced(file, "exchange/theta", np.arange(30.0)),
        "30 angles for 45 projections",
    ),
    "no angles": (lambda file: file.__delitem__("exchange/theta"), "--angles"),
    "no flats": (lambda file: file.__delitem__("exchange/data_white"), "--flats"),
    "zero flats": (
        lambda file: file["exchange/data_white"].write_direct(np.zeros((10, 8, 72), "u2")),
        "flat",
    ),
    "saturated flats": (
        lambda file: file["exchange/data_white"].write_direct(np.full((10, 8, 72), 65535, "u2")),
        "saturated",
    ),
    "NaN": (
        lambda file: replaced(
            file,
            "exchange/data",
            np.where(np.arange(72) == 9, np.nan, file["exchange/data"][:].astype("f4")),
        ),
        "NaN",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_data_that_cannot_be(refused, damaged, tmp_path, name):
    change, reported = CHANGES[name]
    assert reported in refused("recon", damaged(change), "-o", tmp_path / "out.h5")
    assert nothing_in(tmp_path)


def test_the_slice_that_fails_is_named(refused, damaged, tmp_path):
    def change(file):
        data = file["exchange/data"][:].astype("f4")
        data[3, 6, 7] = np.nan
        replaced(file, "exchange/data", data)

    error = refused("recon", damaged(change), "-o", tmp_path / "out.h5")
    assert "Slice 6:" in error
    assert "the first at view 3, column 7." in error
    assert nothing_in(tmp_path)


def test_truncation_is_said(invgen, tmp_path):
    scan = tmp_path / "narrow.h5"
    assert invgen("simulate", "ct", "shepp-logan", "-o", scan, "--size", 64, "--columns", 40).exit_code == 0
    assert "wider than the detector" in invgen("info", scan).output
    result = invgen("recon", scan, "-o", tmp_path / "out.h5", "--size", 64)
    assert result.exit_code == 0
    assert result.output.count("Warning: the object is wider than the detector") == 1


def test_unwritable_output(refused, scan, tmp_path):
    (tmp_path / "file").touch()
    for name in ("nowhere/out.h5", "file/out.h5"):
        assert "cannot be written" in refused("recon", scan, "-o", tmp_path / name)
        assert "cannot be written" in refused("simulate", "ct", "foam", "-o", tmp_path / name, "--size", 32)
    assert "is a folder" in refused("recon", scan, "-o", tmp_path)


def test_the_scan_is_not_overwritten(refused, scan):
    before = scan.read_bytes()
    assert "what the command reads" in refused("recon", scan, "-o", scan)
    assert scan.read_bytes() == before


def test_a_disk_without_room_is_said_at_once(refused, scan, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    assert "the disk has 1000 bytes left" in refused("recon", scan, "-o", tmp_path / "out.h5")


def test_a_disk_that_fills_up(refused, scan, tmp_path, monkeypatch):
    """The system's error, raised in place of the third write."""
    write = ReconstructionWriter.write

    def full(self, index, *slice):
        if index == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, index, *slice)

    monkeypatch.setattr(ReconstructionWriter, "write", full)
    assert "the disk is full" in refused("recon", scan, "-o", tmp_path / "out.h5")
    assert nothing_in(tmp_path)


@pytest.mark.slow
def test_a_write_that_the_system_refuses(start, scan, tmp_path):
    """A real one, in the middle of the file: the process may write no file larger than 50 kB."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    process = start("recon", scan, "-o", tmp_path / "out.h5", prelude=limit)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "out.h5 cannot be written" in errors
    assert "Traceback" not in errors
    assert nothing_in(tmp_path)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle(start, scan, tmp_path, stop):
    out = tmp_path / "out.h5"
    out.write_text("from an earlier run")
    words = ("--solver", "sirt", "--iterations", 1_000_000, "--size", 256)
    process = start("recon", scan, "-o", out, *words)
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".out*")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted; nothing half-written is left." in errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    assert out.read_text() == "from an earlier run"


def test_a_choice_of_nothing(refused, scan, tmp_path):
    for option, reported in (("--slices", "none of the 8 slices"), ("--views", "none of the 45 views")):
        assert reported in refused("recon", scan, "-o", tmp_path / "out.h5", option, "50:")


def test_an_image_that_no_memory_holds(refused, scan, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "invgen.pipeline.outputs.shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1e20})()
    )
    message = refused("recon", scan, "-o", tmp_path / "out.h5", "--size", 10**7)
    assert "of memory, more than" in message


def test_debug_shows_the_error_itself(invgen, tmp_path):
    for words in (("--debug", "info", tmp_path), ("info", tmp_path, "--debug")):
        result = invgen(*words)
        assert result.exit_code == 1
        assert type(result.exception).__name__ == "FileError"


def test_what_was_not_foreseen_points_to_debug(invgen, scan, monkeypatch):
    monkeypatch.setattr("invgen.io.ct.scan.Scan.info", lambda self: 1 / 0)
    result = invgen("info", scan)
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.output
    assert "--debug" in result.output
    assert "Traceback" not in result.output
