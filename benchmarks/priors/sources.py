"""Weights and data, where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import invgen as ig
from benchmarks.report import Report
from invgen.priors.files import checkpoints

_DATA = Path(os.environ.get("INVGEN_DATA", Path(__file__).parents[3] / "shared" / "data"))


def prior(report: Report, name: str) -> Any:
    """The prior of that name from the folder ``INVGEN_WEIGHTS``, else the one that ships, else None."""
    path = Path(os.environ.get("INVGEN_WEIGHTS", ".")) / f"{name}.safetensors"
    if path.exists():
        report.row(f"`{name}`", f"of {path}")
        return ig.priors.load(path)
    if name in checkpoints.shipped():
        return ig.priors.load(name)
    report.row(f"`{name}`", "skipped: this version comes without it")
    return None


def data(report: Report, name: str) -> Path | None:
    """A file of the folder of sample data, or None where it is not there."""
    if not (_DATA / name).exists():
        report.row(name, "skipped: set INVGEN_DATA to the folder of sample data")
        return None
    return _DATA / name
