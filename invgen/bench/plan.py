"""What is run of an entry on a task: as it comes, and with its knob tuned on other images."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from statistics import fmean

from invgen.bench.measures import MEASURES
from invgen.bench.record import Cell, Record, Run
from invgen.bench.search import search
from invgen.bench.suite import Entry, Suite, Task
from invgen.bench.version import package_version
from invgen.core.errors import ParameterError

__all__ = ["Plan", "Step", "plans"]


@dataclass(frozen=True)
class Step:
    """Cells that can run at once; the next step of a plan may depend on what comes of them.

    Attributes
    ----------
    cells : tuple of Cell
    impossible : tuple of str, str, or None
        Why none of them can run, in a line and in full: they fail with it.
    notes : mapping
        Added to the statistics of their records.
    """

    cells: tuple[Cell, ...]
    impossible: tuple[str, str] | None = None
    notes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One entry on one task, in one kind of run."""

    suite: Suite
    task: Task
    entry: Entry
    run: Run
    seeds: tuple[int, ...]
    trials: int
    rounds: int

    @property
    def size(self) -> int:
        """The largest number of cells."""
        tests = len(self.task.test) * len(self.seeds)
        return tests + (
            0 if self.run == "default" else (self.trials + 2 * self.rounds) * len(self.task.tuning)
        )

    def steps(self) -> Generator[Step, list[Record], None]:
        """Yield cells and take their records, which are all that a run needs to go on."""
        if self.entry.missing is not None:
            yield Step(self._cells(self.run, {}), (self.entry.missing, ""))
        elif self.run == "default":
            yield Step(self._cells("default", {}))
        else:
            yield from self._tuned()

    def _tuned(self) -> Generator[Step, list[Record], None]:
        knob = self.entry.knob
        assert knob is not None, "which is what a plan of this kind is made for"
        searching, scores = search(knob, self.trials, self.rounds), dict[float, float]()
        values, best, first = next(searching), None, None
        while best is None:
            cells = [self._cells("tuning", {knob.name: value}) for value in values]
            records = iter((yield Step(tuple(chain.from_iterable(cells)))))
            for value, own in zip(values, cells, strict=True):
                found = list(islice(records, len(own)))
                first = first or next((record for record in found if record.failed), None)
                scores[value] = self._badness(found)
            try:
                values = searching.send([scores[value] for value in values])
            except StopIteration as end:
                best = end.value
        if first is not None and math.isinf(scores[best]):
            why = f"no value of {knob.name} gave a result on the tuning images: {first.error}"
            yield Step(self._cells("tuned", {}), (why, first.traceback or why))
            return
        # a better one may lie beyond
        notes = {"knob_at_end_of_range": True} if best in (min(scores), max(scores)) else {}
        yield Step(self._cells("tuned", {knob.name: best}), notes=notes)

    def _badness(self, records: Sequence[Record]) -> float:
        """How bad a value of the knob is: the mean over the tuning images, infinite where one failed."""
        primary = self.suite.primary
        if any(record.failed for record in records):
            return math.inf
        return fmean(MEASURES[primary].distance(record.measures[primary]) for record in records)

    def _cells(self, run: Run, settings: Mapping[str, float]) -> tuple[Cell, ...]:
        """Cells of a kind of run: on the test images, or as trials on the tuning images, with one seed."""
        trial, task, entry = run == "tuning", self.task, self.entry
        return tuple(
            Cell(
                self.suite.name,
                task.name,
                image,
                "tuning" if trial else "test",
                entry.name,
                seed,
                run,
                dict(task.axes),
                dict(settings),
                entry.prior,
                f"{entry.package} {package_version(entry.package)}",
                entry.kind,
            )
            for image in (task.tuning if trial else task.test)
            for seed in (self.seeds[:1] if trial else self.seeds)
        )


def plans(
    suite: Suite,
    tasks: Sequence[Task],
    entries: Sequence[Entry],
    seeds: Sequence[int],
    trials: int,
    rounds: int,
) -> list[Plan]:
    """Every entry on every task of a suite: as it comes, and where it has a knob, tuned.

    A knob stays as it comes where a task has no tuning images, or there are no trials.
    """
    found: list[Plan] = []
    for task in tasks:
        if not task.test:
            raise ParameterError(f"{suite.name}, {task.name}: there are no images to report on.")
        if shared := set(task.test) & set(task.tuning):
            raise ParameterError(
                f"{suite.name}, {task.name}: {', '.join(sorted(shared))} would be tuned on and reported on."
            )
        for entry in (each for each in entries if suite.takes(each, task)):
            runs: list[Run] = ["default"] if entry.has_default or entry.missing is not None else []
            if entry.knob is not None and task.tuning and trials and entry.missing is None:
                runs.append("tuned")
            found += [Plan(suite, task, entry, run, tuple(seeds), trials, rounds) for run in runs]
    return found
