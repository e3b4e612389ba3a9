"""A benchmark from the first cell to the last: what is known is not run again, what fails is a record."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

from torch import Tensor

from invgen.bench.jobs import Here, Job, Limits, end_workers, pickled, run_here, run_job
from invgen.bench.plan import Plan, Step, plans
from invgen.bench.record import Cell, Outcome, Record
from invgen.bench.store import Results, SuiteInfo
from invgen.bench.suite import Entry, Suite, Task
from invgen.bench.version import code_version, machine, prior_version
from invgen.bench.worker import Reply
from invgen.core import errors
from invgen.core.checks import as_count
from invgen.core.errors import DataError
from invgen.core.fingerprint import fingerprint
from invgen.pipeline.connection import require_client, result_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Advance", "Grid", "run_grid"]

#: Called after each cell with its record, the number of cells that are done, and the largest number in all.
Advance = Callable[[Record, int, int], None]


@dataclass(frozen=True)
class Grid:
    """What is to be run.

    Attributes
    ----------
    entries : sequence of (Suite, sequence of Entry)
        What competes in each suite.
    seeds : sequence of int, optional
        By default those of each suite.
    trials, rounds : int
        Values of a knob in the first round of its search, and the number of further rounds.
    images : int, optional
        The number of test images of each task, and of tuning images, from the first on; by default all.
    retry : bool
        Whether cells that failed before are run again; else their failures stand.
    """

    entries: Sequence[tuple[Suite, Sequence[Entry]]]
    seeds: Sequence[int] | None = None
    trials: int = 7
    rounds: int = 3
    images: int | None = None
    retry: bool = False

    def plans(self) -> list[Plan]:
        """One for each entry on each task: all as they come, then all that are tuned, which takes longer."""
        found = [
            plan
            for suite, entries in self.entries
            for plan in plans(
                suite, self.tasks_of(suite), entries, self.seeds_of(suite), self.trials, self.rounds
            )
        ]
        return sorted(found, key=lambda plan: plan.run == "tuned")

    def tasks_of(self, suite: Suite) -> list[Task]:
        """Tasks of a suite with the images that are wanted of them."""
        return [
            replace(task, test=task.test[: self.images], tuning=task.tuning[: self.images])
            for task in suite.tasks
        ]

    def seeds_of(self, suite: Suite) -> tuple[int, ...]:
        """Seeds that images of a suite are measured with."""
        return suite.seeds if self.seeds is None else tuple(self.seeds)


@dataclass
class _Course:
    """A plan that is under way: its step, and what has come of its cells."""

    plan: Plan
    steps: Generator[Step, list[Record], None]
    step: Step
    found: dict[int, Record] = field(default_factory=dict)


class _Runner:
    """What is under way in one run of a grid."""

    def __init__(
        self, grid: Grid, results: Results, submit: Callable[[Job], Future[Reply]], advance: Advance | None
    ) -> None:
        self.grid, self.results, self.submit, self.advance = grid, results, submit, advance
        self.plans = deque(grid.plans())
        self.done, self.total = 0, sum(plan.size for plan in self.plans)
        self.suites = {suite.name: pickled(suite) for suite, _ in grid.entries}
        self.entries = {
            id(entry): (pickled(entry), fingerprint(entry.solve, prior_version(entry.prior)))
            for _, entries in grid.entries
            for entry in entries
            if entry.missing is None
        }
        self.contents: dict[tuple[str, str, str, int], str] = {}
        self.queue: deque[tuple[_Course, int, str]] = deque()
        self.pending: dict[Future[Reply], tuple[_Course, int, str]] = {}
        self.submitted: set[Future[Reply]] = set()

    def _submit(self, job: Job) -> Future[Reply]:
        future = self.submit(job)
        self.submitted.add(future)
        return future

    def find_contents(self) -> None:
        """The content of every problem, which is part of the identity of its cells."""
        asked = {}
        for suite, _ in self.grid.entries:
            for task in self.grid.tasks_of(suite):
                for image, seed in product((*task.tuning, *task.test), self.grid.seeds_of(suite)):
                    job = Job(self.suites[suite.name], task, image, seed)
                    asked[suite.name, task.name, image, seed] = self._submit(job)
        for (suite_name, task_name, image, seed), future in asked.items():
            reply = result_of(future)
            if reply.error is not None:
                kind, _, message = reply.error.partition(": ")
                where = f"{suite_name}: {image} of {task_name} cannot be measured"
                if kind in errors.__all__:
                    raise getattr(errors, kind)(f"{where}: {message}")
                raise DataError(f"{where}: {reply.error}\n{reply.traceback or ''}")
            self.contents[suite_name, task_name, image, seed] = reply.outcome

    def loop(self, ahead: int) -> None:
        """Go through all plans, with so many cells at the executor at a time."""
        while self.plans or self.queue or self.pending:
            while len(self.pending) < ahead and (self.queue or self.plans):
                if self.queue:
                    course, place, identity = self.queue.popleft()
                    future = self._submit(self._job(course, place))
                    self.pending[future] = course, place, identity
                else:
                    self._begin(self.plans.popleft())
            if self.pending:
                for future in wait(self.pending, return_when=FIRST_COMPLETED).done:
                    course, place, identity = self.pending.pop(future)
                    self.submitted.discard(future)
                    record = self._written(course, place, identity, result_of(future))
                    self._found(course, place, record)

    def _begin(self, plan: Plan) -> None:
        steps = plan.steps()
        self._enter(_Course(plan, steps, next(steps)))

    def _enter(self, course: _Course) -> None:
        """Queue those cells of a step that are not known."""
        course.found = {}
        for place, cell in enumerate(course.step.cells):
            identity = self._identity(course.plan, cell)
            known = self.results.find(identity)
            if known is not None and not (known.failed and self.grid.retry):
                self._found(course, place, known)
            elif course.step.impossible is not None:
                error, trace = course.step.impossible
                reply = Reply(error=error, traceback=trace)
                self._found(course, place, self._written(course, place, identity, reply))
            else:
                self.queue.append((course, place, identity))

    def _identity(self, plan: Plan, cell: Cell) -> str:
        entry = self.entries.get(id(plan.entry), (b"", "missing"))[1]
        content = self.contents[cell.suite, cell.task, cell.image, cell.seed]
        return fingerprint(cell.json(), entry, content, code_version())

    def _job(self, course: _Course, place: int) -> Job:
        plan, cell = course.plan, course.step.cells[place]
        entry = self.entries[id(plan.entry)][0]
        return Job(self.suites[cell.suite], plan.task, cell.image, cell.seed, entry, cell.settings)

    def _written(self, course: _Course, place: int, identity: str, reply: Reply) -> Record:
        """Keep what came of a cell; of a trial, without its images."""
        record = Record(
            identity,
            course.step.cells[place],
            error=reply.error,
            traceback=reply.traceback,
            version=code_version(),
            machine=machine(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        arrays: Mapping[str, Tensor] = {}
        if reply.error is None:
            found: Outcome = reply.outcome
            stats = {**found.stats, **course.step.notes}
            record = replace(record, measures=found.measures, costs=found.costs, stats=stats)
            arrays = found.arrays if record.cell.split == "test" else {}
        self.results.add(record, arrays)
        return record

    def _found(self, course: _Course, place: int, record: Record) -> None:
        """Note a record; with the last one of a step, go on to the next."""
        course.found[place] = record
        self.done += 1
        if self.advance is not None:
            self.advance(record, self.done, self.total)
        if len(course.found) < len(course.step.cells):
            return
        try:
            course.step = course.steps.send([course.found[i] for i in range(len(course.found))])
        except StopIteration:
            return
        self._enter(course)


def run_grid(
    grid: Grid,
    results: Results,
    limits: Limits,
    *,
    workers: int | None = None,
    executor: Client | Executor | None = None,
    advance: Advance | None = None,
) -> None:
    """Run all cells of a grid that the results do not have.

    Parameters
    ----------
    grid : Grid
    results : Results
        A cell is written as soon as it has finished: a run that is killed goes on from there.
    limits : Limits
        Of each cell.
    workers : int, optional
        Processes at a time; by default one for each core. With 0 cells run in this process, one after
        another and without limits.
    executor : distributed.Client or concurrent.futures.Executor, optional
        Where they run instead: each of its threads keeps a process for the cells that it is given.
    advance : callable, optional
        See `Advance`.

    Raises
    ------
    DataError
        Where a problem cannot be made.
    FileError
        Where the disk is full; what has finished is kept.
    ClusterError
        Where the scheduler of the client is gone; likewise.
    """
    elsewhere: Executor | None = (
        executor
        if executor is None or isinstance(executor, Executor)
        else require_client(executor).get_executor(pure=False)
    )
    count = (os.cpu_count() or 1) if workers is None else as_count(workers, "workers", least=0)
    own = ThreadPoolExecutor(count) if count else Here()
    work = run_here if elsewhere is None and not count else run_job
    runner = _Runner(grid, results, lambda job: (elsewhere or own).submit(work, job, limits), advance)
    for suite, _ in grid.entries:
        tasks: dict[str, dict[str, Mapping[str, object] | Sequence[str]]] = {
            task.name: {"axes": dict(task.axes), "test": task.test, "tuning": task.tuning}
            for task in suite.tasks
        }
        results.describe_suite(suite.name, SuiteInfo(suite.about, suite.primary, tasks, list(suite.brief)))
    try:
        runner.find_contents()
        runner.loop(max(1, 2 * count) if elsewhere is None else 256)
    finally:
        for future in runner.submitted:
            future.cancel()
        end_workers()
        while wait(runner.submitted, timeout=0.1).not_done:  # one may just have started a process
            end_workers()
        own.shutdown()
