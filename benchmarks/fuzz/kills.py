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
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

import invgen as ig
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


#: Words of each command, and what reads the output whole.
COMMANDS: dict[str, tuple[tuple[object, ...], str, Callable[[Path], object]]] = {
    "train": (
        ("train", "diffusion", "images.npy", "--steps", 40, "--widths", 4, "--batch", 4),
        "prior.safetensors",
        ig.priors.load,
    ),
    "recon": (("recon", "scan.h5", "--solver", "sirt", "--iterations", 30, "-q"), "image.h5", _hdf5),
    "simulate ct": (("simulate", "ct", "foam", "--size", 64, "--views", 30), "simulated.h5", _hdf5),
    "simulate mri": (("simulate", "mri", "head", "--size", 64), "kspace.h5", _hdf5),
    "view": (("view", "whole.h5"), "view.png", _picture),
    "sample": (("sample", "digits", "-n", 2, "--steps", 2), "samples.png", _picture),
}


def _run(words: tuple[object, ...], limit: float | None) -> tuple[bool, float]:
    """Run a command in a child, which is killed after a time; whether it ended before, and its seconds."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        try:
            app([str(word) for word in words], standalone_mode=True)
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


def _kill(name: str, count: int, rng: np.random.Generator, place: Path) -> list[str]:
    """Kill a command, and check what it leaves."""
    words, output, read = COMMANDS[name]
    temporary, wrong = place / "temporary", []
    words = (*words, "-o", output)
    before = _files(place)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        app([str(word) for word in words], standalone_mode=False)  # what it imports is there from then on
    after = _files(place) - before
    for path in after:
        os.unlink(path)
    _, seconds = _run(words, None)
    after = _files(place) - before
    for path in after:
        os.unlink(path)
    killed = 0
    for _ in range(count):
        ended, _ = _run(words, float(rng.uniform(0.2, 1.0)) * seconds)
        killed += not ended
        if Path(output).exists():
            try:
                read(Path(output))
            except Exception as error:
                wrong.append(f"{name}: {output} is half-written: {error}")
            Path(output).unlink()
            if ended and name == "train":  # to begin anew
                for path in _files(place) - before:
                    os.unlink(path)
    _run(words, None)
    left = _files(place, temporary) - before - after
    wrong += [f"{name}: {path} is left behind" for path in sorted(left)]
    missing = after - _files(place)
    wrong += [f"{name}: {path} is missing" for path in sorted(missing)]
    for path in _files(place) - before:
        os.unlink(path)
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
