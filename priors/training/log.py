"""The log of a training: ``log.csv`` in its folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from invgen.core.files import atomic_path

__all__ = ["read_log", "write_row"]


def read_log(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Rows of a run's ``log.csv``: step, losses since the row before, seconds, and results of validation.

    Rows that are damaged are left out: a log is no part of what a run needs to go on.
    """
    try:
        text = (Path(folder) / "log.csv").read_text(encoding="utf-8", errors="replace")
        rows = list(csv.DictReader(text.replace("\0", "").splitlines()))
    except (OSError, csv.Error):
        return []
    return [row for row in rows if _is_whole(row)]


def _is_whole(row: Mapping[str | None, object]) -> bool:
    """Whether a row has a step, and a number or nothing in each of its columns."""
    try:
        numbers = [float(value) for value in row.values() if value != ""]  # type: ignore[arg-type]
        return None not in row and bool(numbers) and int(row["step"]) >= 0  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def write_row(folder: Path, row: Mapping[str, float]) -> None:
    """Add a row in place of those of the same and later steps, which a state that was lost has left.

    Raises
    ------
    FileError
        When the log cannot be written.
    """
    rows = read_log(folder)
    names = list(dict.fromkeys([*(rows[0] if rows else ()), *row]))
    kept = [old for old in rows if int(old["step"]) < row["step"]]
    with atomic_path(folder / "log.csv") as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows([*kept, row])
