"""Each command that writes, on a disk that is full at a random moment; then there is room."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from benchmarks.reliability.cases import attempt
from benchmarks.reliability.writers import WRITERS, Writer, written

__all__ = ["faults", "fill"]

#: What a run that met a full disk leaves to go on from, by how its names begin or end.
_PROGRESS, _RUN, _RESULTS = ".progress", ".run", "results"

#: What an error says of the disk: that it was full, or before the work, that it would be; or of a limit on
#: the size of files, which stands for a full disk in the tests.
_WORDS = ("File too large", "disk I/O error", "disk is full", "and the disk has", "has no room for it")

_PAGE, _FILLER = 4096, "temporary/filler"

#: What commands import when they run: the children that are forked have it then.
_IMPORTED = (
    "h5py",
    "scipy.optimize",
    "skimage.metrics",
    "matplotlib.pyplot",
    "accelerate",
    "invgen.pipeline.jobs",
)


@contextmanager
def _disk(place: Path, free: int) -> Iterator[None]:
    """A file system in memory that has so many bytes left."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={free + _PAGE}", "tmpfs", place], check=True)
    try:
        (place / "temporary").mkdir()
        (place / _FILLER).write_bytes(bytes(_PAGE))
        yield
    finally:
        for _ in range(300):
            if subprocess.run(["umount", place], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"{place} is still in use: a process is left behind")


def _run(writer: Writer, place: Path, resume: bool) -> tuple[str | None, int]:
    """Run a command with all its files on the disk; what it says, and the most that was used of the disk."""
    most = 0

    def look() -> None:
        nonlocal most
        found = os.statvfs(place)
        most = max(most, (found.f_blocks - found.f_bfree) * found.f_frsize - _PAGE)

    def before() -> None:
        tempfile.tempdir = os.environ["TMPDIR"] = str((place / "temporary").resolve())

    return attempt(writer.line(place, resume), None, before, look), most


def _is_kept(name: str) -> bool:
    """Whether a file is of what the command goes on from."""
    folders = Path(name).parts
    of_a_run = any(each.endswith((_PROGRESS, _RUN)) for each in folders)
    return of_a_run or folders[0] == _RESULTS or name == _FILLER


def faults(writer: Writer, said: str, expected: dict[str, object], found: dict[str, object]) -> Iterator[str]:
    """What is wrong once a command has ended, with an error where it has said so."""
    if said and not (said.count("Error: ") == 1 and any(words in said for words in _WORDS)):
        yield f"it says {said.strip()!r}"
    for name, value in found.items():
        if said and _is_kept(name):
            continue
        if name not in expected:
            yield f"{name} is left behind"
        elif value != expected[name]:
            yield f"{name} is half-written, or has other bytes"
        elif said and not writer.several:
            yield f"{name} is there after an error"
    missing = [name for name in expected.keys() - found.keys() if not _is_kept(name)]
    if missing and not said:
        yield f"{sorted(missing)} are missing, and nothing is said"


def fill(name: str, count: int, rng: random.Random, place: Path) -> list[str]:
    """Run a command on so many disks of random sizes below what it takes, then where there is room.

    Returns
    -------
    list of str
        What was wrong.
    """
    for module in _IMPORTED:
        import_module(module)
    writer = WRITERS[name]
    with _disk(place, 2**28):
        said, most = _run(writer, place, False)
        if said:
            raise SystemExit(f"{name} fails: {said}")
        expected = written(place)
    wrong, errors = [], 0
    for size in [0, *(rng.randrange(0, most, _PAGE) for _ in range(count - 1))]:
        with _disk(place, size):
            said, _ = _run(writer, place, False)
            errors += bool(said)
            found = (
                ["it ends by a signal"] if said is None else faults(writer, said, expected, written(place))
            )
            wrong += [f"{name}, {size >> 10} kB: {each}" for each in found]
            subprocess.run(["mount", "-o", f"remount,size={2**28}", place], check=True)
            if said or said is None:
                said, _ = _run(writer, place, True)
                found = faults(writer, said or "", expected, written(place))
                wrong += [f"{name}, {size >> 10} kB, with room: {each}" for each in found]
    print("".join(f"{each}\n" for each in wrong), end="")
    print(
        f"{name:<24}{count} disks of up to {most >> 10} kB, {errors} errors: {len(wrong)} faults", flush=True
    )
    return wrong
