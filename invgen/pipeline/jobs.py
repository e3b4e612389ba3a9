"""Jobs: slices of a scan, each a piece of work that any process can do, and where they are done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

import torch

from invgen.io import MeasuredImages, MRIScan, Scan
from invgen.pipeline import ct, ct_volume, imaging, mri
from invgen.pipeline.devices import Worker, beside, in_order, reached, same_bits, within
from invgen.pipeline.frames import Frames
from invgen.pipeline.previews import previewed
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.slices import Read, Solved
from invgen.pipeline.work import Part, Work, name_of
from invgen.solvers.checkpoint import Checkpoints

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
    frame : int, optional
        Of a scan that is one of several in its file.
    frames : Frames, optional
        All of those that are reconstructed.
    """

    path: Path
    reading: Reading
    recipe: Recipe
    slices: range
    frame: int | None = None
    frames: Frames | None = None

    @property
    def middle(self) -> Job | None:
        """The same of the frame on which is found what all have in common; None of single scans."""
        frames = self.frames
        if frames is None:
            return None
        return replace(
            self,
            reading=frames.reading(self.reading, frames.middle),
            recipe=frames.recipe(self.recipe, frames.middle),
            frame=frames.middle,
        )

    @property
    def name(self) -> str:
        """Of its slices, in files of progress."""
        return name_of(self.slices, self.frame)

    def __call__(self) -> Solved:
        """Open the scan, and reconstruct the slices."""
        with same_bits(self.recipe), ExitStack() as stack:
            work, close = self.opened(self.recipe.device)
            stack.callback(close)
            if self.middle is not None:
                other, close = self.middle.opened(self.recipe.device)
                stack.callback(close)
                work.follow(other)
            with within(work.devices[0]):
                return work.solve(self.slices, lambda part: None)

    def opened(self, device: str) -> tuple[Work, Callable[[], None]]:
        """Open the scan, for work on a device; what is returned with it closes it."""
        scan = self.reading.open(self.path)
        work = work_on(scan, self.reading, replace(self.recipe, device=device))
        work.frame = self.frame
        return work, scan.close


class _Works:
    """Work on the scans that jobs are of: on each frame as on the one on which all was chosen.

    Parameters
    ----------
    first : Work
        On that.
    ahead : int
        Number of jobs that are under way at once, in their order: the scans of so many stay open.
    """

    def __init__(self, first: Work, ahead: int) -> None:
        self._first, self._most, self._lock = first, ahead + 1, Lock()
        self._open: dict[int | None, tuple[Work, Callable[[], None]]] = {first.frame: (first, lambda: None)}

    def of(self, job: Job) -> Work:
        """Work on the scan of a job, from any thread."""
        with self._lock:
            if job.frame not in self._open:
                work, close = job.opened(self._first.recipe.device)
                work.follow(self._first)
                self._open[job.frame] = work, close
                while len(self._open) > self._most:
                    self._open.pop(next(iter(self._open)))[1]()
            return self._open[job.frame][0]

    def close(self) -> None:
        """Close what was opened."""
        for _, close in self._open.values():
            close()


def run_jobs(jobs: Sequence[Job], work: Work, advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs on one scan in this process, on the devices of its recipe.

    This is the one place that maps jobs to what comes of them, in their order; another may send them to
    other processes and call them there.
    """
    devices = work.devices
    if devices == (torch.device("cpu"),):
        count = min(work.at_once, len(jobs))
        if len(jobs) == 1 or not count:
            return run_here(jobs, work, advance)
        return run_on([work] * count, jobs, advance)
    if len(devices) == 1:
        return run_on([work], jobs, advance)
    if len(jobs) < len(devices) and work.recipe.samples is not None:  # samples are drawn on all of them
        return run_here(jobs, work, advance)
    names = [str(device) for device in devices[: len(jobs)]]
    return _run_apart(names, jobs, advance, work.checkpoints)


def _run_apart(
    devices: Sequence[str], jobs: Sequence[Job], advance: Advance, checkpoints: Checkpoints | None
) -> Generator[Solved, None, None]:
    """Run jobs, each on the next of several devices, which have the scan open each for itself."""
    with ExitStack() as stack:
        works = []
        for device in devices:
            work, close = (jobs[0].middle or jobs[0]).opened(device)
            stack.callback(close)
            work.checkpoints = checkpoints
            works.append(work)
        yield from run_on(works, jobs, advance)


def run_on(works: Sequence[Work], jobs: Sequence[Job], advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs, each on the next of several devices: while one computes, the next slices are read.

    What comes of them is copied back, and taken, while the next slices are computed.

    Parameters
    ----------
    works : sequence of Work
        One for each device. On a CPU it may be there several times: slices are then computed beside one
        another, each on one thread.
    """
    with ExitStack() as stack:
        scans = {work: stack.enter_context(closing(_Works(work, 2 * len(works)))) for work in set(works)}
        threads = 1 if len(works) > len(scans) else None
        workers = [_worker(scans[work], work.devices[0], threads) for work in works]
        found = stack.enter_context(closing(in_order(jobs, workers, advance, lambda job: len(job.slices))))
        for worker, (finish, computed) in found:
            with beside(worker.device, computed):
                solved = finish()
            yield solved


def _worker(scans: _Works, device: torch.device, threads: int | None) -> Worker:
    def read(job: Job) -> tuple[Work, Read]:
        work = scans.of(job)
        return work, work.sent(work.read(job.slices))

    def compute(found: tuple[Work, Read], part: Part) -> tuple[Callable[[], Solved], torch.cuda.Event | None]:
        work, slices = found
        result = work.compute(slices, part)
        return partial(work.finished, slices, result), reached(device)

    return Worker(device, read, compute, threads)


def run_here(jobs: Iterable[Job], work: Work, advance: Advance) -> Generator[Solved, None, None]:
    """Run jobs on one scan one after another: with the scan open, and what it has prepared."""
    done = 0
    with closing(_Works(work, 0)) as scans:
        for job in jobs:
            count = len(job.slices)

            def part(fraction: float, done: int = done, count: int = count) -> None:
                advance(done + fraction * count)

            yield scans.of(job).solve(job.slices, part)
            done += count
            advance(done)


def jobs_of(
    path: Path, reading: Reading, work: Work, slices: range, frames: Frames | None = None
) -> list[Job]:
    """The jobs of slices of a scan, or of each of its frames, on which all is chosen."""
    whole, located, recipe = path.resolve(), reading.located(path), work.recipe.located()
    if frames is None:
        return [Job(whole, located, recipe, group) for group in work.groups(slices)]
    return [
        Job(whole, frames.reading(located, frame), frames.recipe(recipe, frame), group, frame, frames)
        for frame in frames.numbers
        for group in work.groups(slices)
    ]


def work_on(scan: Scan | MRIScan | MeasuredImages, reading: Reading, recipe: Recipe) -> Work:
    """What is to be done by a recipe with a scan, or images, that was read so."""
    recipe = previewed(scan, recipe)
    if isinstance(scan, MeasuredImages):
        return imaging.Restoration(scan, reading, recipe)
    if isinstance(scan, MRIScan):
        return mri.Images(scan, recipe)
    return (ct_volume.Volume if scan.geometry == "cone" else ct.SliceBySlice)(scan, recipe)
