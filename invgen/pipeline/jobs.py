"""Jobs: slices of a scan, each a piece of work that any process can do, and where they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from invgen.io import MeasuredImages, MRIScan, Scan
from invgen.pipeline import ct, imaging, mri
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.work import Solved, Work

__all__ = ["Advance", "Job", "jobs_of", "run_here", "work_on"]

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
        with self.reading.open(self.path) as scan:
            return work_on(scan, self.reading, self.recipe).solve(self.slices, lambda part: None)


def run_here(jobs: Iterable[Job], work: Work, advance: Advance) -> Iterator[Solved]:
    """Run jobs on one scan in this process, one after another: with the scan open, and what it has prepared.

    This is the one place that maps jobs to what comes of them, in their order; another may send them to
    other processes and call them there.
    """
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
    if isinstance(scan, MeasuredImages):
        return imaging.Restoration(scan, reading, recipe)
    if isinstance(scan, MRIScan):
        return mri.Images(scan, recipe)
    return (ct.Volume if scan.geometry == "cone" else ct.SliceBySlice)(scan, recipe)
