"""Kill commands at random: ``python -m benchmarks.fuzz.kills --count 50``; exit code 1 where one fails.

Each command is killed that number of times, training twice as often, each time at a random moment of its
run. What stands under the name of its output then is whole, and after one undisturbed run nothing is left
but that output. Commands are processes forked from one that has imported all.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

import invgen as ig
from invgen.bench.report.content import gather
from invgen.bench.store import Results
from invgen.cli import app
from invgen.core.files import temporary_folder
from invgen.simulate import simulate_ct

__all__ = ["main"]


def _hdf5(path: Path) -> None:
    with h5py.File(path) as file:
        file.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)


def _picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _results(path: Path) -> None:
    if (path / "records.sqlite").exists():
        with Results(path, create=False) as results:
            if results.runs():
                gather(results, None, ())
    _folder(path)


def _folder(path: Path) -> None:
    for file in path.rglob("[!.]*"):  # what begins with a dot is not there yet
        if file.is_file():
            {".h5": _hdf5, ".png": _picture, ".html": _report}.get(file.suffix, Path.read_bytes)(file)


def _report(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>"), "the report has no end"


@dataclass(frozen=True)
class _Command:
    """A command as it is killed.

    Attributes
    ----------
    words : tuple
        All but the output.
    output : str
    read : function of a path
        Reads the output whole.
    option : str
        That names the output.
    resumes : bool
        Whether what a killed run left is for the next run to go on from.
    """

    words: tuple[object, ...]
    output: str
    read: Callable[[Path], object]
    option: str = "-o"
    resumes: bool = False

    @property
    def line(self) -> list[str]:
        return [str(word) for word in (*self.words, self.option, self.output)]


_LEARNING = ("train", "diffusion", "images.npy", "--steps", 40, "--widths", 4, "--batch", 4)
_SAMPLING = ("certify", "dds", "--problem", "mixture-8-1", "--samples", 100, "--iterations", 2)
_SUITE = """\
name = "noise"
images = {test = "picture.png"}
measurement = {operator = "blur:1.0", noise = [0.1, 0.05]}
methods = [{name = "tv", settings = {iterations = 20}}]
"""

COMMANDS = {
    "train": _Command(_LEARNING, "prior.safetensors", ig.priors.load, resumes=True),
    "recon": _Command(("recon", "scan.h5", "--solver", "sirt", "--iterations", 30, "-q"), "image.h5", _hdf5),
    "simulate ct": _Command(("simulate", "ct", "foam", "--size", 64, "--views", 30), "simulated.h5", _hdf5),
    "simulate mri": _Command(("simulate", "mri", "head", "--size", 64), "kspace.h5", _hdf5),
    "view": _Command(("view", "whole.h5"), "view.png", _picture),
    "sample": _Command(("sample", "digits", "-n", 2, "--steps", 2), "samples.png", _picture),
    "bench": _Command(("bench", "suite.toml", "--workers", 1), "results", _results, resumes=True),
    "demo": _Command(("demo", "--size", 32), "demo", _folder, "--output-dir"),
    "certify": _Command(_SAMPLING, "certified.html", _report),
}


def _run(words: list[str], limit: float | None) -> tuple[bool, float]:
    """Run a command in a child, which is killed after a time; whether it ended before, and its seconds."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        try:
            app(words, standalone_mode=True)
        except SystemExit as end:
            os._exit(int(end.code or 0))
        finally:
            os._exit(99)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if limit is not None and time.perf_counter() - began > limit:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{words} fails: {os.waitstatus_to_exitcode(status)}")
    return not os.WIFSIGNALED(status), time.perf_counter() - began


def _files(*folders: Path) -> set[str]:
    return {str(path) for folder in folders for path in folder.rglob("*") if path.is_file()}


def _remove(paths: set[str]) -> None:
    for path in paths:
        os.unlink(path)


def _kill(name: str, count: int, rng: np.random.Generator, place: Path) -> list[str]:
    """Kill a command, and check what it leaves."""
    command = COMMANDS[name]
    words, output = command.line, Path(command.output)
    temporary, wrong = place / "temporary", []
    before = _files(place)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        app(words, standalone_mode=False)  # what it imports is there from then on
    _remove(_files(place) - before)
    _, seconds = _run(words, None)
    after = _files(place) - before
    _remove(after)
    killed = 0
    for _ in range(count):
        ended, _ = _run(words, float(rng.uniform(0.2, 1.0)) * seconds)
        killed += not ended
        if output.exists():
            try:
                command.read(output)
            except Exception as error:
                wrong.append(f"{name}: {output} is half-written: {error}")
        if ended:  # to begin anew
            _remove(_files(place) - before)
        elif output.is_file():
            output.unlink()
    _run(words, None)
    left = _files(place, temporary) - before - after
    wrong += [f"{name}: {path} is left behind" for path in sorted(left)]
    missing = after - _files(place)
    wrong += [f"{name}: {path} is missing" for path in sorted(missing)]
    _remove(_files(place) - before)
    print(f"{name:<14}{killed:>4} killed of {count}, {seconds:.2f} s each: {len(wrong)} faults", flush=True)
    return wrong


def main(words: list[str] | None = None) -> int:
    """Kill each command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="*", choices=list(COMMANDS), default=list(COMMANDS))
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng, wrong = np.random.default_rng(given.seed), []
    with temporary_folder() as place:
        os.chdir(place)
        (place / "temporary").mkdir()
        tempfile.tempdir = str(place / "temporary")
        Path("suite.toml").write_text(_SUITE)
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save("picture.png")
        np.save("images.npy", rng.random((8, 8, 8), dtype="f4"))
        simulate_ct("scan.h5", "shepp-logan", size=32, views=30, slices=3)
        ig.reconstruct("scan.h5", "whole.h5")
        for name in given.commands:
            wrong += _kill(name, given.count * (2 if name == "train" else 1), rng, place)
        os.chdir("/")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
