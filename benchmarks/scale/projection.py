"""A volume of 4096^3 voxels by filtered backprojection on N workers, projected from measured slices."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import invgen as ig
from benchmarks.report import Report
from invgen.core.files import temporary_folder
from invgen.pipeline.connection import connected
from invgen.simulate import simulate_ct

__all__ = ["Model", "projection"]

#: Side of the slices that are measured, with as many views; the last is nearest to what is projected.
_MEASURED = (256, 512, 1024)
#: Side, number of slices and workers of the check of the model.
_CHECKED, _SLICES, _WORKERS = 256, 48, (1, 2)
#: Side and workers of the projection, and bytes in a second of a disk that all workers share.
_SIDE, _MANY, _DISK = 4096, (1, 16, 64, 256), 2e9


@dataclass(frozen=True)
class Model:
    """Seconds of a run: those of all slices, divided among workers, but no less than the disk takes.

    Parameters
    ----------
    start : float
        Seconds until a run has its first slice.
    slice : float
        Seconds of a worker for a slice: read, computed and sent.
    bytes : float
        Read and written of a slice.
    disk : float
        Bytes in a second, of all workers together.
    """

    start: float
    slice: float
    bytes: float
    disk: float = math.inf

    def seconds(self, slices: int, workers: int) -> float:
        """Of a run of so many slices."""
        return self.start + max(slices * self.slice / workers, slices * self.bytes / self.disk)


def _timed(scan: Path, output: Path, workers: int | None, **recipe: Any) -> tuple[float, float, float]:
    """Seconds to the first slice, of each further one, and of all."""
    marks: list[tuple[float, float]] = []

    def advance(done: float, total: int) -> None:
        if done >= 1 and (not marks or done == total):
            marks.append((done, time.perf_counter()))

    with connected(None, workers) as client:
        began = time.perf_counter()
        ig.reconstruct(scan, output, solver="fbp", executor=client, advance=advance, **recipe)
        ended = time.perf_counter()
    (first, at_first), (last, at_last) = marks[0], marks[-1]
    return at_first - began, (at_last - at_first) / max(last - first, 1), ended - began


def _scan(folder: Path, side: int, slices: int) -> tuple[Path, dict[str, Any]]:
    path = folder / f"{side}.h5"
    simulate_ct(path, "shepp-logan", size=side, views=side, slices=slices, center_offset=0.0, sparse=True)
    return path, {"center": (side - 1) / 2, "size": side, "fov": "image", "device": "cpu"}


def projection(report: Report) -> None:
    """Check the model on this machine, and project."""
    torch.set_num_threads(1)
    with temporary_folder() as folder:
        scan, recipe = _scan(folder, _CHECKED, _SLICES)
        start, each, _ = _timed(scan, folder / "image.h5", 1, **recipe)
        model = Model(start, each, 0)
        for workers in _WORKERS:
            _, _, found = _timed(scan, folder / "image.h5", workers, **recipe)
            expected = model.seconds(_SLICES, workers)
            report.row(
                f"{_SLICES} slices of {_CHECKED}^2, {workers} workers: measured over projected",
                f"{found:.1f} s / {expected:.1f} s = {found / expected:.2f}",
            )
        costs = {}
        for side in _MEASURED:
            scan, recipe = _scan(folder, side, 6)
            start, each, _ = _timed(scan, folder / "image.h5", None, **recipe)
            costs[side] = each
            report.row(f"a slice of {side}^2 from {side} views, one thread", f"{each:.3g} s")
    # each slice is some transforms of side^2 numbers, and reading and writing them
    last = max(costs)
    slice_ = costs[last] * (_SIDE / last) ** 2 * math.log(_SIDE) / math.log(last)
    report.row(f"a slice of {_SIDE}^2, by side^2 log(side)", f"{slice_:.3g} s")
    big = Model(start, slice_, _SIDE * _SIDE * (2 + 4), _DISK)  # counts of 16 bits, pixels of 32
    for workers in _MANY:
        hours = big.seconds(_SIDE, workers) / 3600
        report.row(f"{_SIDE}^3 on {workers} workers, a shared disk of {_DISK / 1e9:g} GB/s", f"{hours:.2f} h")
