"""The report as one HTML file: tables are in it as they are, `report.js` sorts them and draws the rest."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from invgen.bench.record import Record
from invgen.bench.report.columns import Column
from invgen.bench.report.content import LEVEL, Report, Row, SuiteReport, label, plain
from invgen.bench.report.pictures import CONTRAST, Pictures, collect
from invgen.bench.store import Results

__all__ = ["as_html"]

_FOLDER = Path(__file__).parent


def as_html(report: Report, results: Results) -> str:
    """The page; images are read from `results`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _minus
    environment.filters["label"] = label
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    colors = _colors()
    style += f".bar {{ background: linear-gradient(to right, {', '.join(map(_hex, colors))}); }}\n"
    pictures = collect(report.records, results.arrays)
    return environment.get_template("report.html").render(
        report=report,
        script=Markup(script),  # the only code that the page's policy lets run
        style=Markup(style),
        script_hash=_hash(script),
        style_hash=_hash(style),
        channels=[" ".join(f"{color[i]:.4f}" for color in colors) for i in range(3)],
        charts=[_charts(suite) for suite in report.suites],
        data={"suites": [_suite(suite) for suite in report.suites], "contrast": CONTRAST},
        cells=[[_cell(record, suite) for record in suite.records] for suite in report.suites],
        problems=_problems(report, pictures),
        pictures=pictures,
        level=LEVEL,
        contrast=CONTRAST,
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _colors() -> list[tuple[float, ...]]:
    """From black to light yellow, lightness rising evenly: also readable in gray."""
    from matplotlib import colormaps

    return [colormaps["inferno"](i / 16)[:3] for i in range(17)]


def _hex(color: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def _charts(suite: SuiteReport) -> dict[str, str]:
    """Kinds of charts that there are figures for, with what a chart says to those who do not see it."""
    titles = {}
    if any(column.is_cost for column in suite.columns):
        titles["cost"] = "Quality against cost"
    if _axes(suite):
        titles["axis"] = f"Quality against {' or '.join(_axes(suite))}"
    names = {column.name for column in suite.columns}
    if any(column.is_uniform for column in suite.columns):
        titles["uniform"] = "Calibration: ranks"
    if any(_probability(column) is not None for column in suite.columns):
        titles["coverage"] = "Calibration: coverage"
    if {"spread", "mse"} <= names:
        titles["spread"] = "Spread of the samples against error"
    return titles


def _axes(suite: SuiteReport) -> list[str]:
    """Axes along which tasks have different numbers."""
    values: dict[str, set[float]] = {}
    for task in suite.tasks:
        for name, value in task.rows[0].line.cell.axes.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def _probability(column: Column) -> float | None:
    """The probability that values of a measure should have, of coverages."""
    try:
        return float(column.measure.better)
    except ValueError:
        return None


def _suite(suite: SuiteReport) -> dict[str, Any]:
    """What charts are drawn from."""
    return plain(
        {
            "name": suite.name,
            "primary": suite.primary.name,
            "axes": _axes(suite),
            "columns": [
                {
                    "name": column.name,
                    "title": column.title,
                    "arrow": column.arrow,
                    "cost": column.is_cost,
                    "scale": column.scale,
                    "uniform": column.is_uniform,
                    "nominal": _probability(column),
                }
                for column in suite.columns
            ],
            "tasks": [
                {
                    "name": task.name,
                    "axes": task.rows[0].line.cell.axes,
                    "rows": [_row(row, suite) for row in task.rows],
                }
                for task in suite.tasks
            ],
        }
    )


def _row(row: Row, suite: SuiteReport) -> dict[str, Any]:
    own = [record for record in suite.records if not record.failed and _is_of(record, row)]
    uniform = {
        column.name: sorted(record.measures[column.name] for record in own if column.name in record.measures)
        for column in suite.columns
        if column.is_uniform
    }
    return {
        "label": row.label,
        "notes": {name: row.note(name) for name in row.line.means if row.note(name)},
        "means": row.line.means,
        "errors": row.line.errors,
        "uniform": {name: values for name, values in uniform.items() if values},
        "widths": {name: _band(len(values)) for name, values in uniform.items() if values},
        "spread": list(_spread(own)),
    }


def _cell(record: Record, suite: SuiteReport) -> list[str]:
    """The texts of a record's row in the table of all cells."""
    cell, known = record.cell, {**record.measures, **record.costs}
    figures = [_minus(one.text(known[one.name])) if one.name in known else "—" for one in suite.columns]
    return [cell.task, label(cell), cell.image, str(cell.seed), *figures, record.error or ""]


def _minus(figure: str) -> str:
    """A figure with the sign as it is typeset."""
    return figure.replace("-", "\N{MINUS SIGN}")


def _is_of(record: Record, row: Row) -> bool:
    one, other = record.cell, row.line.cell
    return (one.task, one.method, one.prior, one.run) == (other.task, other.method, other.prior, other.run)


def _band(n: int) -> float:
    """How far 95 of 100 empirical distributions of n uniform numbers stay from the diagonal (Kolmogorov)."""
    from scipy.stats import kstwo

    return float(kstwo.ppf(0.95, n))


def _spread(records: list[Record]) -> Iterator[tuple[float, float]]:
    """Root mean square error and spread of each cell."""
    for record in records:
        if {"spread", "mse"} <= record.measures.keys():
            error = math.sqrt(record.measures["mse"])
            yield error, record.measures["spread"] * error


def _problems(report: Report, pictures: Pictures) -> list[dict[str, Any]]:
    """Images by the problem that they solve."""
    primaries = {suite.name: suite.primary for suite in report.suites}
    found: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for one in pictures.shown:
        cell, primary = one.record.cell, primaries[one.record.cell.suite]
        value = one.record.measures.get(primary.name)
        problem = found.setdefault(
            (cell.suite, cell.task, cell.image, cell.seed),
            {
                "suite": cell.suite,
                "task": cell.task,
                "image": f"{cell.image}, seed {cell.seed}",
                "window": one.window,
                "methods": [],
            },
        )
        said = "" if value is None else f"{primary.title}: {primary.text(value)}"
        problem["methods"].append({"label": label(cell), "measure": said, **one.parts})
        if "truth" in one.parts:
            problem["truth"] = one.parts["truth"]
    rows = [
        (suite.name, task.name, row.label)
        for suite in report.suites
        for task in suite.tasks
        for row in task.rows
    ]
    places = {row: place for place, row in enumerate(rows)}
    for problem in found.values():
        problem["methods"].sort(key=lambda one: places[problem["suite"], problem["task"], one["label"]])
    order = {row[:2]: place for row, place in reversed(places.items())}
    problems = sorted(found.values(), key=lambda problem: order[problem["suite"], problem["task"]])
    return list(plain(problems))
