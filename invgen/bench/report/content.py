"""What a report says, the same in every format: means, what is best, what is not distinguishable."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from invgen.bench.record import Cell, Record
from invgen.bench.report.columns import Column, columns_of, measure_of
from invgen.bench.store import Results, SuiteInfo
from invgen.bench.summary import Comparison, Line, by_image, compare, corrected, lines
from invgen.core.errors import FileError, ParameterError
from invgen.core.text import quoted

__all__ = [
    "LEVEL",
    "Failure",
    "Report",
    "Row",
    "SuiteReport",
    "TaskReport",
    "gather",
    "label",
    "plain",
]

#: Probability under which a difference is called one.
LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """A method on a task.

    Attributes
    ----------
    line : Line
    label : str
        The method with its prior, and "(tuned)" where its knob is; unique in a task.
    images : int
        Images of the task that any method has been run on.
    counts : mapping of str to int
        Images that the mean of each measure and cost is over.
    best : frozenset of str
        Measures and costs that no method of the task is better in.
    test : Comparison or None
        With the best method of the task by the primary measure; None for that itself, and without two images.
    """

    line: Line
    label: str
    images: int
    counts: Mapping[str, int]
    best: frozenset[str] = frozenset()
    test: Comparison | None = None

    @property
    def settings(self) -> str:
        """The knob, where it was set."""
        return ", ".join(f"{name} = {value:.4g}" for name, value in self.line.cell.settings.items())

    @property
    def is_complete(self) -> bool:
        """Whether every cell has a result, of every image."""
        return not self.line.failures and self.line.images == self.images

    @property
    def is_tied(self) -> bool:
        """Whether a test was made, and finds no difference from the best."""
        return self.test is not None and self.test.probability >= LEVEL

    @property
    def error(self) -> str:
        """Why cells failed: the first reason, and whether there are others."""
        reasons = list(dict.fromkeys(record.error or "" for record in self.line.failures))
        return (
            reasons[0] + (f" (and {len(reasons) - 1} other errors)" if reasons[1:] else "") if reasons else ""
        )

    def note(self, name: str) -> str:
        """What a mean leaves out; "" where it leaves out nothing."""
        parts = []
        if self.counts.get(name, 0) < self.images:
            parts.append(f"{self.counts.get(name, 0)} of {self.images}")
        if self.line.failures:
            parts.append(f"{len(self.line.failures)} failed")
        return ", ".join(parts)


@dataclass(frozen=True)
class TaskReport:
    """Rows of a task, the best by the primary measure first.

    Attributes
    ----------
    name : str
    images : int
        Images that any method has been run on.
    rows : tuple of Row
    sentence : str
        Which method is best, and by how much.
    """

    name: str
    images: int
    rows: tuple[Row, ...]
    sentence: str


@dataclass(frozen=True)
class Failure:
    """Cells of a row that failed for one reason."""

    task: str
    label: str
    error: str
    traceback: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class SuiteReport:
    """A suite.

    Attributes
    ----------
    name : str
    info : SuiteInfo
    primary : Column
    columns : tuple of Column
        Measures in the order of `MEASURES`, those that are not ranked among them, then costs.
    tasks : tuple of TaskReport
    records : tuple of Record
    """

    name: str
    info: SuiteInfo
    primary: Column
    columns: tuple[Column, ...]
    tasks: tuple[TaskReport, ...]
    records: tuple[Record, ...]

    @property
    def shown(self) -> tuple[Column, ...]:
        """Columns of tables."""
        return tuple(column for column in self.columns if not column.is_uniform)

    @property
    def brief(self) -> tuple[Column, ...]:
        """Columns of tables where there is room for few, the primary measure first."""
        named = dict.fromkeys((self.primary.name, *self.info.brief))
        shown = {column.name: column for column in self.shown}
        return tuple(shown[name] for name in named if name in shown)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the records."""
        return sorted({record.cell.seed for record in self.records})

    @property
    def failures(self) -> list[Failure]:
        """Why cells failed, those of a method on a task that failed for one reason together."""
        found = []
        for task in self.tasks:
            for row in task.rows:
                groups: dict[str, list[Record]] = defaultdict(list)
                for record in row.line.failures:
                    groups[record.error or ""].append(record)
                for error, group in groups.items():
                    cells = tuple(f"{record.cell.image} (seed {record.cell.seed})" for record in group)
                    found.append(Failure(task.name, row.label, error, group[0].traceback or "", cells))
        return found


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes
    ----------
    suites : tuple of SuiteReport
    runs : mapping
        What reproduces each run, by when it started.
    """

    suites: tuple[SuiteReport, ...]
    runs: Mapping[str, Mapping[str, Any]]

    @property
    def records(self) -> list[Record]:
        """Of all suites."""
        return [record for suite in self.suites for record in suite.records]

    @property
    def versions(self) -> list[str]:
        """Versions of the code that made the records."""
        return sorted({record.version for record in self.records} - {""})

    @property
    def machines(self) -> list[str]:
        """Machines that made the records."""
        return sorted({record.machine for record in self.records} - {""})

    @property
    def finished(self) -> str:
        """When the newest record was made."""
        return max((record.finished for record in self.records), default="")

    @property
    def definitions(self) -> list[Column]:
        """Every measure and cost, once."""
        return list({column.name: column for suite in self.suites for column in suite.columns}.values())


def gather(results: Results, version: str | None = None, suites: Sequence[str] = ()) -> Report:
    """What a report of these results says.

    Parameters
    ----------
    results : Results
    version : str, optional
        Of the code; records of all versions otherwise.
    suites : sequence of str
        All, if empty.

    Raises
    ------
    ParameterError
        Where there are no records of that version or those suites.
    FileError
        Where they are damaged.
    """
    records = results.records(*suites, version=version)
    if not records:
        held = results.records()
        known = sorted({f"{record.cell.suite} of version {record.version}" for record in held})
        raise ParameterError(
            f"{results.folder} holds no records of {' or '.join(suites) or 'any suite'}"
            f"{f' of version {version}' if version else ''}; it holds {', '.join(known) or 'none at all'}."
        )
    own: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        own[record.cell.suite].append(record)
    trials = results.records(*suites, version=version, split="tuning")
    infos = {name: _seen(name, info, [*records, *trials]) for name, info in results.suites().items()}
    if missing := own.keys() - infos.keys():
        raise FileError(f"{results.folder} is damaged: it does not describe {quoted(sorted(missing)[0])}.")
    return Report(tuple(_suite(name, infos[name], group) for name, group in own.items()), results.runs())


def _seen(name: str, info: SuiteInfo, records: Sequence[Record]) -> SuiteInfo:
    """A suite with those of the images of its tasks that were run."""
    ran = {(r.cell.task, r.cell.split, r.cell.image) for r in records if r.cell.suite == name}
    tasks = {
        task: {
            **about,
            **{
                split: [image for image in about.get(split, ()) if (task, split, image) in ran]
                for split in ("test", "tuning")
            },
        }
        for task, about in info.tasks.items()
    }
    return replace(info, tasks=tasks)


def _suite(name: str, info: SuiteInfo, records: Sequence[Record]) -> SuiteReport:
    columns = tuple(columns_of(records))
    primary = Column(info.primary, measure_of(info.primary))
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.cell.task].append(record)
    order = [task for task in info.tasks if task in groups]
    order += [task for task in groups if task not in info.tasks]
    compared = compare(records, info.primary)
    tasks = tuple(_task(task, groups[task], columns, primary, compared) for task in order)
    return SuiteReport(name, info, primary, columns, tasks, tuple(records))


def _task(
    name: str,
    records: Sequence[Record],
    columns: Sequence[Column],
    primary: Column,
    compared: Sequence[Comparison],
) -> TaskReport:
    images = len({record.cell.image for record in records})
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[label(record.cell), record.cell.run].append(record)
    rows = [_row(*key, group, columns, images) for key, group in groups.items()]
    rows = _marked(rows, columns)
    rows.sort(key=lambda row: _place(row, primary))
    known = [row for row in rows if primary.measure.is_ranked and primary.name in row.line.means]
    best = next((row for row in known if row.is_complete), next(iter(known), None))
    against = [one for one in compared if one.task == name and best and best.label in (one.first, one.second)]
    tests = {frozenset((one.first, one.second)): one for one in corrected(against)}
    if best is not None:
        rows.sort(key=lambda row: row is not best)  # a mean over fewer images does not stand above it
        rows = [replace(row, test=tests.get(frozenset((row.label, best.label)))) for row in rows]
    return TaskReport(name, images, tuple(rows), _sentence(name, best, rows, primary))


def _row(label: str, run: str, group: Sequence[Record], columns: Sequence[Column], images: int) -> Row:
    (line,) = lines(group)
    done = [record for record in group if not record.failed]
    counts = {column.name: len(by_image(done, column.name)) for column in columns}
    return Row(line, label, images, counts)


def _marked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """With what is best: among methods that have a result for every image, where there are any.

    A mean over fewer images may be better because hard ones are missing from it.
    """
    best: dict[str, set[str]] = defaultdict(set)
    for column in columns:
        known = [row for row in rows if column.measure.is_ranked and column.name in row.line.means]
        known = [row for row in known if row.is_complete] or known
        distances = {row.label: column.measure.distance(row.line.means[column.name]) for row in known}
        if len(distances) > 1 and len(set(distances.values())) == 1:
            continue  # all are equal: none is best
        for label, distance in distances.items():
            if distance == min(distances.values()):
                best[label].add(column.name)
    return [replace(row, best=frozenset(best[row.label])) for row in rows]


def _place(row: Row, primary: Column) -> tuple[bool, float, str]:
    """Sorts rows: the better first, those without a result last."""
    mean = row.line.means.get(primary.name)
    distance = math.inf if mean is None else primary.measure.distance(mean)
    return mean is None, distance, row.label


def _sentence(task: str, best: Row | None, rows: Sequence[Row], primary: Column) -> str:
    if best is None and any(row.line.cells for row in rows):
        return f"Methods are not ranked on {task}: no {primary.title} is better than another."
    if best is None:
        return f"No method has a result on {task}."
    mean = best.line.means[primary.name]
    name, unit = primary.title.partition(" / ")[0], f" {primary.unit}" if primary.unit else ""
    text = f"{best.label} is best on {task}: {name} {primary.text(mean)}{unit}"
    if note := best.note(primary.name):
        text += f" (images: {note})"
    tested = [row for row in rows if row.test is not None]
    tied = [row.label for row in tested if row.is_tied]
    following = next((row for row in tested if not row.is_tied and row.is_complete), None)
    if following is not None and following.test is not None:
        gap = primary.text(abs(following.test.difference))
        text += f", {gap}{unit} ahead of {following.label} (p = {following.test.probability:.2g})"
    if tied:
        shown = tied if len(tied) <= 5 else [*tied[:4], f"{len(tied) - 4} others"]
        text += f". Not distinguishable from it: {'; '.join(shown)}"
    return text + "."


def label(cell: Cell) -> str:
    """How a row is called: as comparisons call it."""
    return cell.title + (" (tuned)" if cell.run == "tuned" else "")


def plain(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, int | str | None) else json.loads(json.dumps(value, default=str))
