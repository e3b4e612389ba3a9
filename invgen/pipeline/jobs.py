"""Jobs: slices of a scan, each a piece of work that any process can do, and where they are done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from invgen.io import MeasuredImages, MRIScan, Scan
from invgen.pipeline import ct, imaging, mri
from invgen.pipeline.devices import Worker, beside, in_order, reached, same_bits, within
from invgen.pipeline.previews import previewed
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.work import Part, Read, Solved, Work

__all__ = ["Advance", "Job", "jobs_of", "run_here", "run_jobs", "run_on", "work_on"]

#: Called with the number of slices that are done, with a fraction for those at work.
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Job:
    """Slices of a scan to reconstruct together: all that another process has to know.

    Parameters
    ----------
    path : Path
        The scan.
    reading : Reading
    recipe : Recipe
        One in which all is chosen; see `Work`.
    slices : range
    """

    path: Path
    reading: Reading
    recipe: Recipe
    slices: range

    def __call__(self) -> Solved:
        """Open the scan, and reconstruct the slices."""
        with same_bits(self.recipe), self.reading.open(self.path) as scan:
            work = work_on(scan, self.reading, self.recipe)
            with within(work.devices[0]):
                return work.solve(self.slices, lambda part: None)


def run_jobs(jobs: Sequence[Job], work: Work, advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs on one scan in this process, on the devices of its recipe.

    This is the one place that maps jobs to what comes of them, in their order; another may send them to
    other processes and call them there.
    """
    devices = work.devices
    if devices == (torch.device("cpu"),):
        return run_here(jobs, work, advance)
    if len(devices) == 1:
        return run_on([work], jobs, advance)
    if len(jobs) < len(devices) and work.recipe.samples is not None:  # samples are drawn on all of them
        return run_here(jobs, work, advance)
    return _run_apart([str(device) for device in devices[: len(jobs)]], jobs, advance)


def _run_apart(
    devices: Sequence[str], jobs: Sequence[Job], advance: Advance
) -> Generator[Solved, None, None]:
    """Run jobs, each on the next of several devices, which have the scan open each for itself."""
    with ExitStack() as stack:
        works = []
        for device in devices:
            first = jobs[0]
            scan = first.reading.open(first.path)
            stack.callback(scan.close)
            works.append(work_on(scan, first.reading, replace(first.recipe, device=device)))
        yield from run_on(works, jobs, advance)


def run_on(works: Sequence[Work], jobs: Sequence[Job], advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs on devices, each with work of its own on it: while it computes, the next slices are read.

    What comes of them is copied back, and taken, while the next slices are computed.
    """
    workers = [_worker(work) for work in works]
    for worker, (finish, computed) in in_order(jobs, workers, advance, lambda job: len(job.slices)):
        with beside(worker.device, computed):
            solved = finish()
        yield solved


def _worker(work: Work) -> Worker:
    (device,) = work.devices

    def read(job: Job) -> Read:
        return work.sent(work.read(job.slices))

    def compute(found: Read, part: Part) -> tuple[Callable[[], Solved], torch.cuda.Event | None]:
        result = work.compute(found, part)
        return partial(work.finished, found, result), reached(device)

    return Worker(device, read, compute)


def run_here(jobs: Iterable[Job], work: Work, advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs on one scan one after another: with the scan open, and what it has prepared."""
    done = 0
    for job in jobs:
        count = len(job.slices)

        def part(fraction: float, done: int = done, count: int = count) -> None:
            advance(done + fraction * count)

        yield work.solve(job.slices, part)
        done += count
        advance(done)


def jobs_of(path: Path, reading: Reading, work: Work, slices: range) -> list[Job]:
    """The jobs of slices of a scan, on which all is chosen."""
    whole, located, recipe = path.resolve(), reading.located(path), work.recipe.located()
    return [Job(whole, located, recipe, group) for group in work.groups(slices)]


def work_on(scan: Scan | MRIScan | MeasuredImages, reading: Reading, recipe: Recipe) -> Work:
    """What is to be done by a recipe with a scan, or images, that was read so."""
    recipe = previewed(scan, recipe)
    if isinstance(scan, MeasuredImages):
        return imaging.Restoration(scan, reading, recipe)
    if isinstance(scan, MRIScan):
        return mri.Images(scan, recipe)
    return (ct.Volume if scan.geometry == "cone" else ct.SliceBySlice)(scan, recipe)
