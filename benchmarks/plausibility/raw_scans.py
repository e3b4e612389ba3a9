"""Warnings on raw scans by the calibration that comes with `ct-phantoms`: from counts to p-values."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

import invgen as ig
from benchmarks.plausibility.scans import abdomen, chest, head, raw_ct, raw_seeds, shrunk
from benchmarks.report import Report
from invgen.plausibility import binomial_interval

__all__ = ["raw_scans"]

_LEVEL = 0.05
#: Numbers of scans that fit, and of each kind that does not; the latter are those of RESULTS.md.
_SHORT, _FULL = (40, 6), (150, 24)

#: Seeds of the first scans; those of the calibration are from zero on.
_SEEDS = {"random": 5000, "chests": 2012, "heads": 3000, "abdomens": 4000}


def raw_scans(report: Report) -> None:
    """Scans as of `invgen simulate ct`, reconstructed as by `invgen recon --solver dds --prior ct-phantoms`.

    Of few scans, for ten minutes of one core; with ``--full`` of as many as in RESULTS.md.
    """
    torch.set_num_threads(1)
    fitting, others = _FULL if "--full" in sys.argv else _SHORT
    _rate(report, "random objects", fitting, "random")
    for averaged, wrong in ((4.0, "half"), (0.25, "twice")):
        _rate(report, f"random objects, noise stated {wrong} as large", others, "random", averaged)
    for what in ("chests", "heads", "abdomens"):
        _rate(report, what, others, what)


def _source(what: str, seed: int) -> Tensor | str:
    """Of chests one of those on which no statistic was chosen."""
    if what == "chests":
        return chest(12 + (seed - _SEEDS[what]) % 12)
    if what == "heads":
        return shrunk(head("chris", seed))
    return abdomen(seed % 24) if what == "abdomens" else "random"


def _rate(report: Report, name: str, count: int, what: str, averaged: float = 1.0) -> None:
    """Part of the scans that are said not to fit, with the interval of Clopper and Pearson."""
    said = compared = 0
    for seed in raw_seeds(_SEEDS[what], count):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", ig.errors.InvgenWarning)
            scan = raw_ct(Path(folder) / "scan.h5", seed, _source(what, seed), averaged)
            options = {"solver": "dds", "prior": "ct-phantoms", "samples": 1, "precision": "bfloat16"}
            found = ig.reconstruct(scan, **options).plausibility
        p = found.p_values.get("scan")
        said += p is not None and float(p[0]) <= _LEVEL
        compared += p is not None
    low, high = binomial_interval(said, compared) if compared else (0.0, 1.0)
    fits = name == "random objects"
    other = f"; {count - compared} of another protocol" if compared < count else ""
    measured = f"{said} of {compared}, {100 * low:.1f} to {100 * high:.1f} %{other}"
    part = said / max(1, compared)
    report.row(
        name, measured, "3 to 7 %" if fits else "90 %", (0.03 <= part <= 0.07) if fits else part >= 0.9
    )
