"""What the terminal shows of a benchmark: how far it is, and its tables in short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from invgen.cli.console import err, out, say

if TYPE_CHECKING:
    from invgen.bench.grid import Advance
    from invgen.bench.record import Record
    from invgen.bench.report.columns import Column
    from invgen.bench.report.content import Report
    from invgen.bench.summary import Line

__all__ = ["progress", "show_tables"]


@contextmanager
def progress() -> Iterator[Advance]:
    """A bar on a terminal, which what is yielded moves on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("problems", total=None)

        def advance(record: Record, done: int, total: int) -> None:
            where = f"{record.cell.suite}: {record.cell.title}, {record.cell.task}"
            bar.update(task, description=where, completed=done, total=total)

        yield advance


def show_tables(report: Report) -> None:
    """Print a table for each task, the columns that its suite names, and what they are."""
    for suite in report.suites:
        for task in suite.tasks:
            table = Table(title=f"{suite.name}: {task.name}", title_justify="left", title_style="bold")
            words = {
                "method": [row.label for row in task.rows],
                "settings": [row.settings for row in task.rows],
                "images": [
                    f"{row.line.images} of {row.images}" if row.images > 1 else "" for row in task.rows
                ],
            }
            words = {name: texts for name, texts in words.items() if any(texts)}
            for name in words:
                table.add_column(name)
            for column in suite.brief:
                table.add_column(column.title, justify="right")
            for row, *texts in zip(task.rows, *words.values(), strict=True):
                figures = (_mean(row.line, column) for column in suite.brief)
                table.add_row(*map(escape, (*texts, *figures)))
            out.print(table)
            out.print(escape(task.sentence), highlight=False)
            for row in task.rows:
                if row.error:
                    out.print(f"{row.label}: {row.error}", style="dim", highlight=False, markup=False)
    columns = {column.name: column for suite in report.suites for column in suite.brief}
    for column in columns.values():
        definition = f"{column.title}: {column.measure.definition}"
        out.print(definition, style="dim", highlight=False, markup=False)
    if failed := sum(record.failed for record in report.records):
        say("Note", "blue", f"{failed} of {len(report.records)} cells failed; their reasons are above.")


def _mean(line: Line, column: Column) -> str:
    """The mean with its standard error, where there is one."""
    if column.name not in line.means:
        return ""
    error = line.errors.get(column.name)
    mean = column.text(line.means[column.name])
    return mean if error is None or column.is_cost else f"{mean} ± {column.text(error)}"
