"""Reports as text: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from invgen.bench.report.columns import Column
from invgen.bench.report.content import LEVEL, Report, Row, SuiteReport, TaskReport

__all__ = ["as_csv", "as_latex", "as_markdown"]


def as_markdown(report: Report) -> str:
    """Tables by suite and task, failures below them."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield "# Benchmark"
    for suite in report.suites:
        yield from ("", f"## {_md(suite.name)}", "", _md(suite.info.about))
        for task in suite.tasks:
            yield from ("", f"### {_md(task.name)}", "", _md(task.sentence), "")
            columns = _filled(suite, task)
            heads = [" ".join(filter(None, (column.title, column.arrow))) for column in columns]
            yield from _md_table(
                ["method", "settings", "images", *heads],
                (
                    [_md(cell) if i < 3 else cell for i, cell in enumerate(_md_row(row, columns))]
                    for row in task.rows
                ),
            )
        yield from ("", _legend(suite))
        if suite.failures:
            yield from ("", "### Failures", "")
            heads = ["task", "method", "cells", "error"]
            rows = ([one.task, one.label, str(len(one.cells)), one.error] for one in suite.failures)
            yield from _md_table(heads, ([_md(cell) for cell in row] for row in rows))
        yield from ("", "### Images", "")
        for name, info in suite.info.tasks.items():
            test, tuning = (list(info.get(split, ())) for split in ("test", "tuning"))
            yield f"- {_md(f'{name}: reported on {_listed(test)}; tuned on {_listed(tuning)}')}"
        yield from ("", f"Seeds: {', '.join(map(str, suite.seeds))}.")
    yield from ("", "## Definitions", "")
    yield from _md_table(
        ["measure", "name", "definition"],
        ([_md(one.title), f"`{one.name}`", _md(one.measure.definition)] for one in report.definitions),
    )
    yield from ("", "## What reproduces it", "")
    yield from (
        "```json",
        json.dumps(dict(report.runs), indent=2, ensure_ascii=False, default=str),
        "```",
        "",
    )
    yield f"- versions of the code: {_md(', '.join(report.versions))}"
    yield f"- machines: {_md(', '.join(report.machines))}"


def _md_row(row: Row, columns: Sequence[Column]) -> Iterator[str]:
    yield row.label + (" ≈" if row.is_tied else "")
    yield row.settings
    yield f"{row.line.images} of {row.images}"
    for column in columns:
        text = _mean(row, column, " ± ")
        note = row.note(column.name)
        yield (f"**{text}**" if column.name in row.best else text) + (
            f" ({note})" if note and text != "—" else ""
        )


def _mean(row: Row, column: Column, sign: str) -> str:
    mean, error = (figures.get(column.name) for figures in (row.line.means, row.line.errors))
    if mean is None:
        return "—"
    return column.text(mean) + ("" if error is None else sign + column.text(error))


def _md_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _md(text: str) -> str:
    """Text that means nothing else in Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&$!])", r"\\\1", " ".join(text.split()))


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} images ({', '.join(names)})" if names else "none"


def _legend(suite: SuiteReport) -> str:
    return (
        "Mean ± standard error over images, seeds of one image averaged first. Bold: best of the task, among "
        "methods with a result for every image where there are any. ≈: not distinguishable from the best by "
        f"{suite.primary.title} (Student's paired test, p ≥ {LEVEL} after Holm's correction; few "
        "images cannot show a difference)."
    )


def _filled(suite: SuiteReport, task: TaskReport) -> list[Column]:
    """Columns that have a value on a task."""
    return [one for one in suite.shown if any(one.name in row.line.means for row in task.rows)]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "—": "---",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def as_latex(report: Report) -> str:
    """One table for each task."""
    return "\n".join(_latex(report)) + "\n"


def _latex(report: Report) -> Iterator[str]:
    yield r"% needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{graphicx}"
    for suite in report.suites:
        for task in suite.tasks:
            columns = _filled(suite, task)
            heads = [f"{one.title} {one.arrow}".strip() for one in columns]
            yield from ("", r"\begin{table}", r"\centering")
            said = f"{suite.name}, {task.name}. {task.sentence} {_legend(suite)}"
            yield rf"\caption{{{_tex(said)}}}"
            # wide tables shrink to the width of the text, narrow ones keep their size
            yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
            yield rf"\begin{{tabular}}{{l{'r' * (1 + len(columns))}}}"
            yield r"\toprule"
            yield " & ".join(map(_tex, ["method", "images", *heads])) + r" \\"
            yield r"\midrule"
            for row in task.rows:
                yield " & ".join(_tex_row(row, columns)) + r" \\"
            yield from (r"\bottomrule", r"\end{tabular}}", r"\end{table}")


def _tex_row(row: Row, columns: Sequence[Column]) -> Iterator[str]:
    shown = f" ({row.settings})" if row.settings else ""
    yield _tex(row.label + shown) + (r" $\approx$" if row.is_tied else "")
    yield _tex(
        f"{row.line.images} of {row.images}"
        + (f", {len(row.line.failures)} failed" if row.line.failures else "")
    )
    for column in columns:
        text = _tex(_mean(row, column, " ± ")).replace("-", "$-$") if column.name in row.line.means else "---"
        note = row.note(column.name) if column.name in row.line.means else ""
        yield (rf"\textbf{{{text}}}" if column.name in row.best else text) + (
            rf" {{\footnotesize ({note})}}" if note else ""
        )


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def as_csv(report: Report) -> str:
    """One row for each method on each task, with all figures in full precision."""
    names = [column.name for column in report.definitions]
    heads = ["suite", "task", "method", "prior", "run", "kind", "package", "settings", "axes"]
    heads += ["images", "cells", "failures", "error", "best", "p_against_best"]
    heads += [f"{name}{part}" for name in names for part in ("", "_error")]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(heads)
    for suite in report.suites:
        for task in suite.tasks:
            table.writerows(_csv_row(suite, row, names) for row in task.rows)
    return buffer.getvalue()


def _csv_row(suite: SuiteReport, row: Row, names: Sequence[str]) -> Iterator[str | int | float | None]:
    line, cell = row.line, row.line.cell
    yield from (cell.suite, cell.task, cell.method, cell.prior, cell.run, cell.kind, cell.package)
    yield from (json.dumps(dict(mapping), ensure_ascii=False) for mapping in (cell.settings, cell.axes))
    yield from (line.images, line.cells, len(line.failures), row.error)
    yield int(suite.primary.name in row.best)
    yield None if row.test is None else row.test.probability
    for name in names:
        yield line.means.get(name)
        yield line.errors.get(name)
