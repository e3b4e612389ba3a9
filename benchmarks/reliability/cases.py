"""The commands of the campaigns, and how one is run in a child that may be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import invgen as ig
from invgen.cli import app
from invgen.core.errors import FileError
from invgen.pipeline import progress
from invgen.priors.files.checkpoints import read
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct

__all__ = ["CASES", "Case", "attempt", "contents", "prepare"]

_RECON = ("recon", "scan.h5", "--center", 23.5, "--size", 48, "--fov", "image", "-q", "--checkpoint-every", 0)
_SAMPLES = ("--prior", "prior.safetensors", "--slices", ":4", "--samples", 2, "--iterations", 8)


@dataclass(frozen=True)
class Case:
    """A command that goes on where it was stopped.

    Attributes
    ----------
    words : tuple
        All but the output.
    output : str
    again : tuple of str
        What is added to go on.
    """

    words: tuple[object, ...]
    output: str
    again: tuple[str, ...] = ("--resume",)

    def line(self, resume: bool, *more: str) -> list[str]:
        """The words of the command."""
        return [
            str(word) for word in (*self.words, "-o", self.output, *more, *(self.again if resume else ()))
        ]


CASES = {
    "FBP": Case((*_RECON, "--solver", "fbp"), "image.h5"),
    "TV": Case((*_RECON, "--solver", "tv", "--iterations", 30, "--slices", ":8"), "image.h5"),
    "samples": Case(
        (*_RECON, "--solver", "dds", *_SAMPLES),
        "image.h5",
    ),
    "training": Case(
        ("train", "diffusion", "images.npy", "--steps", 60, "--widths", 4, "--batch", 4),
        "learned.safetensors",
        (),
    ),
}


def prepare(write: Callable[[], None] | None = None) -> None:
    """Have what the commands read written into the folder by a child: threads do not survive forks.

    In this process and its children results are kept one by one, and all runs began at one time. By default
    it is what the `CASES` read.
    """
    progress._SECONDS = 0.0
    progress.now = lambda: "2026-01-02T03:04:05+00:00"
    if child := os.fork():
        if os.waitpid(child, 0)[1]:
            raise SystemExit("what the commands read cannot be written")
        return
    code = 1
    try:
        (write or _write)()
        code = 0
    finally:
        os._exit(code)


def _write() -> None:
    """What the cases read."""
    simulate_ct("scan.h5", "shepp-logan", size=48, views=40, slices=40)
    np.save("images.npy", np.random.default_rng(0).random((8, 8, 8), dtype="f4"))
    torch.manual_seed(0)
    ig.priors.Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5).save("prior.safetensors")


def contents(output: Path) -> bytes:
    """The bytes of an output; of a prior those of its weights, as its card has the time that it took."""
    if output.suffix != ".safetensors":
        return output.read_bytes()
    return b"".join(name.encode() + each.numpy().tobytes() for name, each in sorted(read(output)[1].items()))


def attempt(
    words: list[str],
    limit: float | None,
    before: Callable[[], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> str | None:
    """Run a command in a child, which is killed (SIGKILL) after so many seconds.

    What is to be done `before` is done in the child, and `meanwhile` here, again and again.

    Returns
    -------
    str or None
        What it has said on its way to an error; empty where it has come to its end, None where it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor, end in ((0, nowhere), (1, nowhere), (2, writing)):
            os.dup2(end, descriptor)
        code = 99
        try:
            if before is not None:
                before()
            app(words, standalone_mode=True)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    os.close(writing)
    began = time.perf_counter()
    while limit is None or time.perf_counter() - began < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if meanwhile is not None:
            meanwhile()
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    with os.fdopen(reading, errors="replace") as said:
        text = said.read()
    if os.WIFSIGNALED(status):
        return None
    code = os.waitstatus_to_exitcode(status)
    if code == 99:
        raise FileError(f"{words} was not foreseen: {text}")
    return "" if code == 0 else text or "an error without words"
