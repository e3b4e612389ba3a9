"""The log of a training: ``log.csv`` in its folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["read_log", "write_row"]


def read_log(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Rows of a run's ``log.csv``: step, losses since the row before, seconds, and results of validation."""
    path = Path(folder) / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_row(folder: Path, row: Mapping[str, float]) -> None:
    """Add a row in place of those of the same and later steps, which a state that was lost has left."""
    path = folder / "log.csv"
    rows = read_log(folder)
    names = list(dict.fromkeys([*(rows[0] if rows else ()), *row]))
    kept = [old for old in rows if int(old["step"]) < row["step"]]
    beside = path.with_suffix(".part")
    with beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows([*kept, row])
    beside.replace(path)
