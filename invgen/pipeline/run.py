"""Reconstruct the slices of a scan, or images; memory does not grow with their number, but for volumes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, cast

from invgen.core.errors import InvgenWarning, ParameterError
from invgen.core.memory import release_freed_memory
from invgen.core.stopping import deferred_interrupts
from invgen.pipeline.options import taking
from invgen.pipeline.outputs import check_output
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe, command_line
from invgen.pipeline.values import select

if TYPE_CHECKING:
    import torch
    from distributed import Client

    from invgen.pipeline.jobs import Job
    from invgen.pipeline.judging import Judged, Plausibility
    from invgen.pipeline.shards import Kept
    from invgen.pipeline.slices import Solved
    from invgen.pipeline.work import Work
    from invgen.solvers.base import Solver

__all__ = ["SECONDS", "Summary", "reconstruct", "run"]

#: Between two times that the state of slices is kept, by default.
SECONDS = 60.0


@dataclass(frozen=True)
class Summary:
    """Settings, costs and images of a reconstruction that has finished.

    Attributes
    ----------
    path : Path or None
        The file that was written.
    slices : range
        Of the scan.
    image_shape : (int, int), in color (3, int, int)
    pixel_size : float or (float, float)
        In `unit`; where pixels are no squares, their height and width.
    unit : {"mm", "pixel"}
    recipe : Recipe
        What was asked for, with all that was chosen: the center of rotation, the weight, the scale.
    solver : Solver
    statistics : dict
        What only such scans have: of CT the "center" of rotation, of MRI the number of "coils" and how their
        "maps" are found, of images the "operator", the noise's standard deviation "noise_std" and, where the
        measurement was simulated, the mean "psnr" in dB.
    iterations : int
        The largest number that a slice took.
    seconds : float
    images : tensor, shape (slices, H, W), in color (slices, 3, H, W), or None
        Where no file was written.
    samples : tensor, shape (n, *images.shape), or None
        Likewise, of samplers; the images are their means.
    plausibility : Plausibility, or None
        Of methods with a learned prior: whether slices fit operator, noise and prior.
    intervals : (tensor, tensor), or None
        Where no file was written, lower and upper ends of calibrated intervals, each of the shape of the
        images, or of regions (slices, k); NaN for slices that the calibration is not for.
    frames : range, or None
        Of an array that holds several scans; the images then have one more axis, the first.
    """

    path: Path | None
    slices: range
    image_shape: tuple[int, ...]
    pixel_size: float | tuple[float, float]
    unit: str
    recipe: Recipe
    solver: Solver
    statistics: dict[str, Any]
    iterations: int
    seconds: float
    images: torch.Tensor | None = None
    samples: torch.Tensor | None = None
    plausibility: Plausibility | None = None
    intervals: tuple[torch.Tensor, torch.Tensor] | None = None
    frames: range | None = None


@taking(Recipe, Reading)
def reconstruct(
    scan: str | Path,
    output: str | Path | None = None,
    *,
    notice: Callable[[str], None] | None = None,
    advance: Callable[[float, int], None] | None = None,
    executor: Client | None = None,
    resume: bool = False,
    checkpoint_every: float = SECONDS,
    recipe: Recipe,
    reading: Reading,
) -> Summary:
    """Reconstruct the slices of a scan, CT or MRI, or restore images: what ``invgen recon`` does.

    >>> ig.reconstruct("scan.h5", "image.h5", solver="tv", slices=slice(100, 200))
    >>> ig.reconstruct("photo.png", "restored.png", operator="inpaint:mask.png", noise_std=0.02)

    The file has the same bytes as that of the command with the same options. Messages name options as they
    are typed there: ``--angle-unit`` is the argument `angle_unit`.

    Parameters
    ----------
    scan : path
        Of a scan; of a picture, a folder of them or an array of images, with `operator`.
    output : path, optional
        File to write, in HDF5, or as `image_format` or its suffix says in NIfTI, DICOM, TIFF, NPY or, of
        images, PNG; it appears when all slices are in it. Without it the images are in the result.
    notice : callable(str), optional
        Called with a sentence on each automatic choice.
    advance : callable(done, total), optional
        Called with the number of slices that are done, a fraction for the one at work.
    executor : distributed.Client, optional
        A cluster of dask whose workers compute the slices; see `invgen.pipeline.cluster`. The results are
        those of this process on the same number of threads, to the bit on a CPU.
    resume : bool
        Go on with a run of the same arguments that was stopped, killed, or has met a full disk or a cluster
        that is gone; what was done is kept beside the output. The file is that of an undisturbed run.
    checkpoint_every : float
        Seconds between two times that the state of slices is kept that take long to iterate or sample; more,
        where that would take a twentieth of the time.
    {options}

    Returns
    -------
    Summary

    Raises
    ------
    InvgenError
        For scans that cannot be read, options that do not fit them, files that cannot be written, clusters
        that are lost, and what is to be resumed but was begun with other settings, files or versions.

    Warns
    -----
    InvgenWarning
        Where slices do not fit operator, noise and the learned prior, see `invgen.plausibility.assess`; and
        where they have no intervals, since the calibration is of other ones.
    """
    return run(
        Path(scan),
        None if output is None else Path(output),
        reading,
        recipe,
        notice or (lambda text: None),
        advance or (lambda done, total: None),
        executor,
        resume=resume,
        checkpoint_every=checkpoint_every,
    )


def run(
    path: Path,
    output: Path | None,
    reading: Reading,
    recipe: Recipe,
    notice: Callable[[str], None],
    advance: Callable[[float, int], None],
    executor: Client | None = None,
    *,
    resume: bool = False,
    checkpoint_every: float = SECONDS,
) -> Summary:
    """Reconstruct slices of a scan; see `reconstruct`."""
    from invgen.core.disk import volumes_in
    from invgen.pipeline.calibrations import without_intervals
    from invgen.pipeline.cluster import cluster_of
    from invgen.pipeline.devices import same_bits, within
    from invgen.pipeline.frames import opened, refuse_frames
    from invgen.pipeline.jobs import jobs_of, run_jobs, work_on
    from invgen.pipeline.judging import Plausibility
    from invgen.pipeline.progress import Progress
    from invgen.pipeline.run_identity import identity
    from invgen.pipeline.sinks import Memory, Sink, check_name, file_for, outputs_of, require_room_for

    if output is not None:
        check_output(output, path, reading, recipe)
    if not checkpoint_every >= 0:
        raise ParameterError(f"checkpoint_every is a number of seconds; got {checkpoint_every!r}.")
    if output is None and resume:
        raise ParameterError("resume goes on with a file that was to be written; give output=...")
    with ExitStack() as stack:
        stack.callback(release_freed_memory)
        stack.enter_context(same_bits(recipe))
        scan, frames = opened(path, reading, recipe)
        stack.callback(scan.close)
        if executor is None or output is not None:  # workers keep theirs beside the output, too
            stack.enter_context(volumes_in(Path(gettempdir()) if output is None else output.resolve().parent))
        if output is not None:
            check_output(output, *scan.files)
        progress: Progress | None = None
        if output is not None:
            run_of = identity(path, scan, reading, recipe)
            progress = stack.enter_context(Progress(output, run_of, resume, checkpoint_every, notice))
        chosen = recipe if progress is None else progress.choices or recipe
        work = work_on(scan, reading, chosen if frames is None else frames.recipe(chosen, frames.middle))
        if frames is not None:
            work.frame = frames.middle
            refuse_frames(work)
        slices = select(work.recipe.slices, work.count, "slices")
        if output is not None:
            for each in outputs_of(output, work):
                check_output(each, path, reading, recipe, *scan.files)
            check_name(output, work, len(slices), frames)
        elif recipe.image_format is not None:
            raise ParameterError("image_format is of a file that is written; give output=...")
        cluster = None if executor is None else cluster_of(executor, path, scan, reading, recipe, notice)
        memory: Memory | None = None
        began, middle = time.perf_counter(), slices[len(slices) // 2]
        count = len(slices) * (1 if frames is None else len(frames.numbers))
        advance(0, count)
        if recipe.preview:
            notice(_of_the_preview(path, output, reading, recipe, work, slices))
        first = work.first(middle, notice)
        room = output is None or require_room_for(output, work, count)
        stack.enter_context(within(work.devices[0]))
        work.settle(first, middle, notice)
        solver = work.solver(first)
        del first
        if cluster is not None:
            work.recipe = replace(work.recipe, device=cluster.device)
        sink: Sink
        if output is None or progress is None:
            sink = memory = Memory(work, count)
        else:
            progress.settle(work, room)
            sink = stack.enter_context(
                file_for(output, path, reading, work, slices, progress.created, frames)
            )
        index = iterations = 0
        psnr: list[float] = []
        plausible: list[Judged] = []
        unbounded: dict[int, str] = {}
        jobs = jobs_of(path, reading, work, slices, frames)

        interrupted = stack.enter_context(deferred_interrupts()) if progress is not None else lambda: False

        def compute(jobs: Sequence[Job], before: int) -> Generator[Solved | Kept, None, None]:
            def step(done: float) -> None:
                advance(before + done, count)
                if interrupted():
                    raise KeyboardInterrupt

            return run_jobs(jobs, work, step) if cluster is None else cluster.solved(jobs, step, place)

        place = None if progress is None or cluster is None else progress.share()
        if progress is None:  # and no place, so that no results are kept there
            results = cast("Generator[Solved, None, None]", compute(jobs, 0))
        else:
            results = progress.results(jobs, compute)
        # what still computes ends before an unfinished file goes
        for solved in stack.enter_context(closing(results)):
            iterations = max(iterations, solved.iterations)
            psnr += solved.psnr
            found = solved.plausibility
            for i, (image, report, samples) in enumerate(solved.each()):
                report = work.remarks + report
                if found is not None:
                    plausible.append(found)
                    report += found.report
                    sink.judge(index, found.p_values, None if found.map is None else found.map[i])
                if (bounds := solved.bounds) is not None:
                    sink.bound(index, bounds.lower[i], bounds.upper[i])
                    if bounds.remark:
                        unbounded[slices[index]] = bounds.remark
                        report += (f"no intervals: {bounds.remark}",)
                sink.write(index, image, report, samples)
                index += 1
    maps = None if memory is None else memory.maps
    verdict = Plausibility.of(plausible, slices, maps) if plausible else None
    if verdict is not None and verdict.warning:
        warnings.warn(verdict.warning, InvgenWarning, stacklevel=2)
    if unbounded:
        warnings.warn(without_intervals(unbounded), InvgenWarning, stacklevel=2)
    if verdict is not None and verdict.remark:
        notice(verdict.remark)
    return Summary(
        path=output,
        slices=slices,
        image_shape=work.shape,
        pixel_size=work.pixel_size,
        unit=work.unit,
        recipe=work.recipe,
        solver=solver,
        statistics=work.statistics | ({"psnr": sum(psnr) / len(psnr)} if psnr else {}),
        iterations=iterations,
        seconds=time.perf_counter() - began,
        images=None if memory is None else memory.images if frames is None else memory.of(frames),
        frames=None if frames is None else frames.numbers,
        samples=None if memory is None else memory.samples,
        plausibility=verdict,
        intervals=None if memory is None else memory.intervals,
    )


def _of_the_preview(
    path: Path, output: Path | None, reading: Reading, recipe: Recipe, work: Work, slices: range
) -> str:
    """What a preview leaves out, and how all is reconstructed."""
    whole = replace(recipe, preview=False)
    command = None if output is None else command_line(path, output, reading, whole)
    how = "leave out preview" if command is None else command
    coarse = f" of pixels {work.recipe.bin} times as wide" if work.recipe.bin > recipe.bin else ""
    return f"Preview: {len(slices)} of {work.count} slices{coarse}, by {work.recipe.solver}. In full: {how}"
