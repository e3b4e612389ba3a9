"""Mutants, each made and read in a process of its own that is forked from one that has imported all."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import invgen as ig
from benchmarks.fuzz.mutations import KINDS, mutate
from benchmarks.fuzz.subjects import SUBJECTS, checked
from invgen.core.errors import InvgenError
from invgen.pipeline.inputs import probe_inputs

__all__ = ["FAILURES", "Mutant", "Seeds", "Verdict", "run_mutant"]

#: Verdicts that are failures of the readers.
FAILURES = ("traceback", "message", "hang", "memory", "crash", "silent")

_SECONDS = 10  # of the processor, for a file of a few kilobytes
_WALL = 600
_BOUND = "256M"
_MOST = 2**30  # that a process may take beside what it has
_MESSAGE = 600  # characters

Seeds = dict[str, list[Path]]


@dataclass(frozen=True)
class Mutant:
    """The mutant of a number: what it is made of follows from it and the seed."""

    seed: int
    number: int
    subject: str
    file: str
    kind: str


@dataclass(frozen=True)
class Verdict:
    """What reading a mutant gave: "fine", "refused", "unmade" (the damage failed), or one of `FAILURES`."""

    name: str
    detail: str = ""
    seconds: float = 0.0


def choose(seeds: Seeds, seed: int, number: int, subjects: tuple[str, ...] = ()) -> tuple[Mutant, Path]:
    """The mutant of a number, and the file that it is made of."""
    rng = np.random.default_rng([seed, number, 0])
    names = [name for name in seeds if not subjects or name in subjects]
    subject = names[int(rng.integers(len(names)))]
    path = seeds[subject][int(rng.integers(len(seeds[subject])))]
    kind = list(KINDS)[int(rng.choice(len(KINDS), p=[0.4, 0.2, 0.15, 0.15, 0.1]))]
    return Mutant(seed, number, subject, path.name, kind), path


def make(mutant: Mutant, original: Path, folder: Path) -> Path:
    """Copy the original and what is beside it where that is its own, and damage it."""
    if original.parent.name in ("run", "suite", "results"):
        shutil.copytree(original.parent, folder, dirs_exist_ok=True)
    else:
        shutil.copy(original, folder)
    path = folder / original.name
    mutate(path, mutant.kind, np.random.default_rng([mutant.seed, mutant.number, 1]))
    return path


def run_mutant(mutant: Mutant, original: Path, folder: Path) -> Verdict:
    """Make a mutant and read it, in a child."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(mutant, original, folder, writing)
    os.close(writing)
    said = _listen(reading, child)
    _, status = os.waitpid(child, 0)
    verdict = _judge(said, status)
    return Verdict(**{**asdict(verdict), "seconds": time.perf_counter() - began})


def _listen(reading: int, child: int) -> list[bytes]:
    """Lines that a child writes until it ends, or is ended."""
    said, end = b"", time.monotonic() + _WALL
    with os.fdopen(reading, "rb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([file], [], [], max(0, end - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                return [*said.splitlines(), b"late"]
            block = file.read(65536)
            if not block:
                return said.splitlines()
            said += block


def _judge(said: list[bytes], status: int) -> Verdict:
    made = b"made" in said
    if said and said[-1].startswith(b"{"):
        return Verdict(**json.loads(said[-1]))
    if not made:
        return Verdict("unmade")
    if b"late" in said or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Verdict("hang")
    if os.WIFSIGNALED(status):
        return Verdict("crash", signal.Signals(os.WTERMSIG(status)).name)
    return Verdict("crash", f"exit code {os.waitstatus_to_exitcode(status)}")


def _child(mutant: Mutant, original: Path, folder: Path, writing: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    warnings.simplefilter("ignore")
    code = 0
    try:
        try:
            _limit(60)
            path = make(mutant, original, folder)
        except Exception:
            verdict = Verdict("unmade", traceback.format_exc(limit=-2))
        else:
            os.write(writing, b"made\n")
            _limit(_SECONDS)
            verdict = _read(mutant, original, path)
        os.write(writing, json.dumps(asdict(verdict)).encode() + b"\n")
    except BaseException:
        code = 1
    os._exit(code)


def _limit(seconds: int) -> None:
    used = sum(os.times()[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds, resource.RLIM_INFINITY))
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (addresses + 2 * _MOST, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(mutant: Mutant, original: Path, path: Path) -> Verdict:
    before = _resident("VmRSS")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of making it
    try:
        with ig.memory_limit(_BOUND):
            probe_inputs(path)
            found = SUBJECTS[mutant.subject](path)
    except InvgenError as error:
        text = str(error).replace(str(path), path.name).replace(str(path.parent), "")
        if not text.isprintable() or len(text) > _MESSAGE:
            return Verdict("message", f"{type(error).__name__}: {text!r}"[:2000])
        verdict = Verdict("refused", f"{type(error).__name__}: {text}")
    except MemoryError:
        return Verdict("memory", traceback.format_exc(limit=-4))
    except BaseException:
        return Verdict("traceback", traceback.format_exc(limit=-6))
    else:
        verdict = Verdict("fine")
        if mutant.kind == "bytes" and checked(path):
            right = SUBJECTS[mutant.subject](original)
            if len(found) != len(right) or not all(map(np.array_equal, found, right)):
                return Verdict("silent")
    if _resident("VmHWM") - before > _MOST // 1024:
        return Verdict("memory", f"{(_resident('VmHWM') - before) / 1024:.0f} MiB; {verdict.detail}")
    return verdict


def _resident(name: str) -> int:
    """A line of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
