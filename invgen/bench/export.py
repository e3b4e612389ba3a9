"""All records as a table for other programs."""

from __future__ import annotations

from pathlib import Path

from invgen.bench.record import Record
from invgen.bench.store import Results
from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.files import atomic_path

__all__ = ["write_parquet"]


def write_parquet(results: Results, path: str | Path) -> None:
    """Write every record, trials among them, to a Parquet file: a row for each cell.

    >>> ig.bench.write_parquet(ig.bench.Results("results", create=False), "results.parquet")

    Columns are the cell's fields, "axis: ..." of each axis, "setting: ..." of each knob, measures and costs
    by their names, "stat: ..." of what methods report, and error, version, machine and time.

    Raises
    ------
    CapabilityError
        Where pyarrow is not installed.
    ParameterError
        Where the name does not end in .parquet.
    """
    if Path(path).suffix != ".parquet":
        raise ParameterError(f"--export is a file whose name ends in .parquet; got {path}.")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise CapabilityError("Parquet files need pyarrow: pip install 'invgen[parquet]'.") from None
    rows = [_row(record) for split in ("tuning", "test") for record in results.records(split=split)]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    with atomic_path(path) as beside:
        parquet.write_table(pyarrow.table(columns), beside)


def _row(record: Record) -> dict[str, object]:
    cell = record.cell
    plain = ("suite", "task", "image", "split", "method", "prior", "package", "kind", "run", "seed")
    return {
        "identity": record.identity,
        **{name: getattr(cell, name) for name in plain},
        **{f"axis: {name}": value for name, value in cell.axes.items()},
        **{f"setting: {name}": value for name, value in cell.settings.items()},
        **record.measures,
        **record.costs,
        **{f"stat: {name}": value for name, value in record.stats.items()},
        **{name: getattr(record, name) for name in ("error", "version", "machine", "finished")},
    }


def _column(values: list[object]) -> list[object]:
    """Values of one type: text, where they are not all numbers."""
    present = {type(value) for value in values if value is not None}
    if present <= {int, float} or len(present) < 2:
        return [float(v) if isinstance(v, int | float) and float in present else v for v in values]
    return [None if value is None else str(value) for value in values]
