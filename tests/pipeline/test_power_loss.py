"""The power fails: what was flushed is there, what was not may be; then the run goes on to the same bytes.

What a run asks of the disk is recorded: files that it flushes, with their content then, names that it
changes, and folders that it flushes. Up to any moment it is replayed as the most unfavorable disk would have
it: data that were not flushed are zeros, and names that were not flushed are those of now, or still those of
before.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import invgen as ig
from invgen.pipeline import progress


class Disk:
    """What was asked of a disk, in a folder and below."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._whole = {str(each): each.read_bytes() for each in root.rglob("*") if each.is_file()}
        self._asked: list[tuple[str, ...]] = []
        self._flushed: list[tuple[int, int, bytes]] = []  # when, which file, its content

    def __len__(self) -> int:
        return len(self._asked) + 1

    def record(self, patched: pytest.MonkeyPatch) -> None:
        """Record what is asked from here on."""
        plain = {
            name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
        }

        def fsync(handle):
            plain["fsync"](handle)
            path = os.readlink(f"/proc/self/fd/{handle}")
            if os.path.isdir(path):
                self._asked.append(("flush", path))
            else:
                self._flushed.append((len(self._asked), os.fstat(handle).st_ino, Path(path).read_bytes()))

        def replace(before, after):
            self._asked.append(("rename", str(before), str(after), os.stat(before).st_ino))
            plain["replace"](before, after)

        def noted(name):
            def change(path, *rest, **more):
                plain[name](path, *rest, **more)
                self._asked.append((name, str(path)))

            return change

        patched.setattr(os, "fsync", fsync)
        for name in ("replace", "rename"):
            patched.setattr(os, name, replace)
        for name in ("unlink", "mkdir", "rmdir"):
            patched.setattr(os, name, noted(name))

    def restore(self, moment: int, late: bool) -> None:
        """Leave in the folder what is there when the power fails after so many requests.

        Names are those of the last flush of their folder where the disk is `late`.
        """
        names: dict[str, bytes | None] = dict(self._whole)  # None of folders
        for number, (what, path, *more) in enumerate(self._asked[:moment]):
            folder = os.path.dirname(more[0] if what == "rename" else path)
            rest = self._asked[number:moment]
            if not path.startswith(self._root) or (
                late and what != "flush" and ("flush", folder) not in rest
            ):
                continue
            if what == "rename":
                target, file = more
                found = [data for when, each, data in self._flushed if each == file and when <= number]
                names[target] = found[-1] if found else bytes(1000)
            elif what == "mkdir":
                names[path] = None
            elif what in ("unlink", "rmdir"):
                names.pop(path, None)
        for each in Path(self._root).iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        for path, data in names.items():
            if data is not None:
                Path(path).parent.mkdir(exist_ok=True)
                Path(path).write_bytes(data)


@pytest.fixture
def recorded(scans, tmp_path, monkeypatch):
    """A run that replaces an earlier output: what it asked of the disk, and how to repeat it."""
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")

    def run(**more):
        recipe = {"solver": "tv", "iterations": 3, "center": 13.0, "slices": slice(0, 3), "size": 24}
        ig.reconstruct(scans["parallel"], tmp_path / "image.h5", device="cpu", fov="image", **recipe, **more)

    (tmp_path / "image.h5").write_bytes(b"of before")
    disk = Disk(tmp_path)
    with monkeypatch.context() as patched:
        disk.record(patched)
        run(checkpoint_every=0)
    return disk, run


def check(recorded, path, moment, late):
    disk, run = recorded
    disk.restore(len(disk), late=False)
    new = path.read_bytes()
    disk.restore(moment, late)
    assert path.read_bytes() in (b"of before", new)
    run(resume=True, checkpoint_every=0)
    assert path.read_bytes() == new
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_whenever_the_power_fails_the_run_goes_on_to_the_same_bytes(recorded, tmp_path):
    """At a few moments; at all of them in the slow test. A disk that never flushes does lose what it has."""
    disk, _ = recorded
    for moment, late in ((len(disk) // 3, False), (2 * len(disk) // 3, True)):
        check(recorded, tmp_path / "image.h5", moment, late)
    disk._flushed.clear()
    disk.restore(len(disk), late=False)
    assert (tmp_path / "image.h5").read_bytes() == bytes(1000)
    disk._asked = [each for each in disk._asked if each[0] != "flush"]
    disk.restore(len(disk), late=True)
    assert (tmp_path / "image.h5").read_bytes() == b"of before"


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_the_power_fails_after_each_request(recorded, tmp_path, late):
    for moment in range(len(recorded[0])):
        check(recorded, tmp_path / "image.h5", moment, late)
