"""Metadata are read first by a process that can be ended."""

from __future__ import annotations

import os
import signal
import time

import h5py
import numpy as np
import pytest

from invgen.core.errors import FileError
from invgen.io import probe as module
from invgen.io.probe import probe


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
        file.create_dataset("a/b", data=np.zeros((4, 4))).attrs["units"] = "mm"
    return tmp_path / "a.h5"


def test_files_that_are_not_damaged_pass_at_little_cost(path, tmp_path):
    began = time.process_time()
    probe(path)
    assert time.process_time() - began < 1
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    probe(tmp_path / "a.npy")
    probe(tmp_path)
    probe(tmp_path / "no.h5")


def test_a_pipe_is_not_waited_for(tmp_path):
    def waited(*_):
        raise TimeoutError

    os.mkfifo(tmp_path / "pipe.h5")
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(5)
    try:
        probe(tmp_path / "pipe.h5")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_errors_are_left_to_who_reads(path):
    path.write_bytes(path.read_bytes()[:1200])
    probe(path)


@pytest.mark.parametrize("end", ["hangs", "crashes"])
def test_what_hangs_or_crashes_is_refused(path, monkeypatch, end):
    def damaged(path):
        if end == "crashes":
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            pass

    monkeypatch.setattr(module, "_read_metadata", damaged)
    monkeypatch.setattr(module, "_SECONDS", 1)
    reason = {"hangs": "takes for ever", "crashes": "ends the process"}[end]
    with pytest.raises(FileError, match=f"damaged: reading its metadata {reason}"):
        probe(path)


def test_what_is_damaged_ends_no_look_at_the_rest(path, monkeypatch):
    def read(self, name):
        seen.append(name)
        raise OSError("damaged")

    seen = []
    with h5py.File(path, "a") as file:
        file["a"].attrs.update({"first": 1, "second": 2})
        file["a/again"] = file["a"]  # a circle
        file["z"] = np.zeros(3)
        file["z"].attrs["last"] = 1
    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", read)
    module._read_metadata(path)
    assert sorted(seen) == ["first", "last", "second", "units"]
