"""Memory over many reconstructions in one process: it should stay flat."""

from __future__ import annotations

import gc
import time

import numpy as np
import psutil

import invgen as ig
from benchmarks.report import Report
from invgen.core.files import temporary_folder
from invgen.simulate import simulate_ct, simulate_mri

__all__ = ["loop"]

#: What is reconstructed in turn.
_RECIPES = (
    ("ct", {"solver": "fbp"}),
    ("ct", {"solver": "tv", "iterations": 5, "weight": 0.1}),
    ("mri", {"solver": "cg-sense", "iterations": 5}),
)


def loop(report: Report, minutes: float = 120.0) -> None:
    """Reconstruct small scans over and over; memory after each round, and its growth once it has settled.

    The first twelfth of the time, ten minutes of two hours, is left out: caches fill.
    """
    process, marks = psutil.Process(), []
    with temporary_folder() as folder:
        scans = {"ct": folder / "ct.h5", "mri": folder / "mri.h5"}
        simulate_ct(scans["ct"], "foam", size=128, views=90, slices=8)
        simulate_mri(scans["mri"], size=(96, 96), coils=4, slices=2)
        began = time.monotonic()
        while (spent := time.monotonic() - began) < 60 * minutes:
            for name, recipe in _RECIPES:
                ig.reconstruct(scans[name], folder / "image.h5", **recipe)
            gc.collect()
            marks.append((spent, process.memory_info().rss))
    times, sizes = np.array(marks).T
    settled = times > 5 * minutes
    base = np.median(sizes[settled][: max(1, settled.sum() // 10)])
    growth = float(np.abs(sizes[settled] / base - 1).max())
    report.row(
        f"{len(marks)} rounds in {minutes:g} minutes: memory at most, largest change once settled",
        f"{sizes.max() / 2**20:.0f} MiB, {growth:.1%}",
        "2 %",
        growth <= 0.02,
    )
