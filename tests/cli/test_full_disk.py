"""The disk is full while any of the commands writes: an error, nothing half-written, and the way to go on.

A limit on the size of files stands for a full disk; ``python -m benchmarks.reliability disk`` fills one.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.disk import faults
from benchmarks.reliability.writers import READERS, WRITERS, command_of, commands, prepare, written
from invgen.pipeline import progress

#: What takes a second or less, of each way of writing: HDF5, folders, plain files, states.
QUICK = {"recon", "recon to Zarr", "simulate mri", "compress", "decompress to a folder", "train gan"}


def test_each_command_that_writes_has_a_case():
    assert set(commands()) - READERS == set(map(command_of, WRITERS.values()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the commands read."""
    folder = tmp_path_factory.mktemp("files")
    with contextlib.chdir(folder):
        prepare()
    return folder


@contextlib.contextmanager
def files_of_at_most(size):
    """Refuse to make files larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WRITERS]
)
def test_a_disk_that_is_full_halfway(invgen, files, tmp_path, monkeypatch, name):
    monkeypatch.chdir(files)
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")
    writer, place = WRITERS[name], tmp_path / "out"

    def run(resume):
        place.mkdir(exist_ok=True)
        result = invgen(*writer.line(place, resume))
        return result.output if result.exit_code else ""

    assert not run(False)
    expected = written(place)
    largest = max(path.stat().st_size for path in place.rglob("*") if path.is_file())
    shutil.rmtree(place)
    with files_of_at_most(largest // 2):
        said = run(False)
    assert said or name.startswith("train")  # which goes on where its state does not fit
    assert not list(faults(writer, said, expected, written(place)))
    assert not run(bool(said))
    assert not list(faults(writer, "", expected, written(place)))
