"""A benchmark in a line of Python: ``invgen.bench.run(my_method, "ct-sparse")``."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from invgen.bench.competitors import competitors, own_entry
from invgen.bench.grid import Advance, Grid, run_grid
from invgen.bench.jobs import Limits
from invgen.bench.record import Record
from invgen.bench.report import write_report
from invgen.bench.report.content import Report, gather
from invgen.bench.report.text import as_markdown
from invgen.bench.store import Results
from invgen.bench.suite import QuickForm, Suite
from invgen.bench.suites import load_suites
from invgen.bench.suites.data import folder
from invgen.bench.version import code_version, machine, versions
from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Benchmark", "run"]

#: Trials in the first round of the search for a knob, and further rounds; and those of quick runs.
_SEARCH, _QUICK_SEARCH = (7, 3), (4, 1)


@dataclass(frozen=True)
class Benchmark:
    """The results of a run; printing shows their tables.

    Attributes
    ----------
    folder : Path
        Of the results.
    suites : tuple of str
    report : Report
        Tables, comparisons and failures of these suites, by this version of the code.
    outdated : int
        Records of these suites in the folder that other versions of the code made, which the report leaves
        out.
    """

    folder: Path
    suites: tuple[str, ...]
    report: Report
    outdated: int

    @property
    def records(self) -> list[Record]:
        """What came of every method on every test image."""
        return self.report.records

    def write(self, path: str | Path) -> None:
        """Write a report: .html, .md, .csv or .tex.

        Raises
        ------
        ParameterError, FileError
            See `invgen.bench.report.write_report`.
        """
        with Results(self.folder, create=False) as results:
            write_report(results, path, suites=self.suites, version=code_version())

    def __str__(self) -> str:
        return as_markdown(self.report)


def run(
    method: Any = None,
    *suites: str | Suite,
    methods: Collection[str] | None = None,
    priors: Collection[str] = (),
    quick: bool = False,
    data: str | Path | None = None,
    output: str | Path = "results",
    images: int | None = None,
    seeds: int | None = None,
    trials: int | None = None,
    workers: int | None = None,
    threads: int = 1,
    time_limit: float = 1800.0,
    max_memory: float | None = None,
    retry: bool = False,
    executor: Client | Executor | None = None,
    advance: Advance | None = None,
) -> Benchmark:
    """Run suites, or continue a run, and return their tables.

    >>> print(ig.bench.run(my_method, "ct-sparse", quick=True))

    Parameters
    ----------
    method : callable, str or None
        Your own, see `own_entry`; None for none.
    *suites : str or Suite
        Names, TOML files, dotted names ``module:object``, or suites.
    methods, priors : collection of str
        See `competitors`.
    quick : bool
        The form of at most two minutes on two cores, by fewer and smaller images.
    data : path, optional
        Folder of sample data, by default the environment's ``INVGEN_DATA``.
    output : path
        Folder of the results. What is in it already is not run again.
    images : int, optional
        The number of test images of each task, and of tuning images; by default all.
    seeds : int, optional
        The number of seeds of noise and methods, from 0 on; by default those of the suite, mostly one.
    trials : int, optional
        Values of a knob in the first round of its search, two or more; zero leaves knobs as they come.
    workers, threads : int
        Processes at a time, by default one for each core, and threads of each. Results can depend on the
        latter. With 0 workers cells run in this process, with its threads and without limits: they begin at
        once, but what crashes or hangs is not caught.
    time_limit : float
        Seconds that a cell may take.
    max_memory : float, optional
        GiB that a cell may take, by default an even share of four fifths of the machine's.
    retry : bool
        Run cells again that failed before.
    executor : distributed.Client or concurrent.futures.Executor, optional
        See `run_grid`.
    advance : callable, optional
        Called after each cell.

    Raises
    ------
    ParameterError
        For unknown names, with the nearest ones.
    FileError
        Where data are not there, or results cannot be written.
    """
    if not suites:
        raise ParameterError("Name a suite: invgen.bench.run(my_method, 'ct-sparse').")
    given = [suite for suite in suites if isinstance(suite, Suite)]
    loaded = [*load_suites([name for name in suites if isinstance(name, str)], folder(data)), *given]
    if quick:
        loaded = [QuickForm(suite) for suite in loaded]
    own = [] if method is None else [own_entry(method)]
    first, rounds = _QUICK_SEARCH if quick else _SEARCH
    grid = Grid(
        [(suite, _distinct(suite, [*competitors(suite, methods, priors), *own])) for suite in loaded],
        None if seeds is None else tuple(range(as_count(seeds, "seeds"))),
        first if trials is None else trials and as_count(trials, "trials", least=2),
        rounds,
        None if images is None else as_count(images, "images"),
        retry,
    )
    names = tuple(suite.name for suite in loaded)
    started = datetime.now(UTC)
    with Results(output) as results:
        run_grid(
            grid,
            results,
            Limits(time_limit, _memory(max_memory, workers), as_count(threads, "threads")),
            workers=workers,
            executor=executor,
            advance=advance,
        )
        results.describe_run(
            started.isoformat(timespec="seconds"),
            command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            suites=names,
            seeds={suite.name: list(grid.seeds_of(suite)) for suite in loaded},
            threads=torch.get_num_threads() if workers == 0 else threads,
            machine=machine(),
            versions=versions(),
            seconds=(datetime.now(UTC) - started).total_seconds(),
        )
        report = gather(results, code_version(), names)
        outdated = len(results.records(*names)) - len(report.records)
        return Benchmark(Path(output), names, report, outdated)


def _distinct(suite: Suite, entries: Sequence[Any]) -> list[Any]:
    """Entries, whose names with their priors are different."""
    names = [(entry.name, entry.prior) for entry in entries]
    if repeated := {name for name in names if names.count(name) > 1}:
        listed = ", ".join(sorted(" of ".join(filter(None, name)) for name in repeated))
        raise ParameterError(f"{suite.name} has two methods of one name: {listed}. Rename yours.")
    return list(entries)


def _memory(limit: float | None, workers: int | None) -> int:
    """Bytes that a cell may take."""
    import psutil

    if limit is not None:
        if not limit > 0:
            raise ParameterError(f"max_memory is a positive number of GiB; got {limit}.")
        return int(limit * 2**30)
    return int(0.8 * psutil.virtual_memory().total / (workers or os.cpu_count() or 1))
