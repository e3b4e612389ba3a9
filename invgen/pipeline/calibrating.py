"""Intervals calibrated by scans whose truth is known: simulated ones, or with a reference, or true images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgen.calibration import ConformalIntervals, conformal
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.memory import require_memory
from invgen.io.images import read_label_image
from invgen.pipeline.jobs import work_on
from invgen.pipeline.options import given
from invgen.pipeline.outputs import check_output
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.truth import Truth
from invgen.pipeline.values import select
from invgen.pipeline.work import Work
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["calibrate", "check_calibration", "opened"]

#: A problem, its truth, and its reconstruction.
_Known = tuple[Problem, torch.Tensor, Reconstruction]


def calibrate(
    scans: Sequence[Path],
    output: Path,
    reading: Reading,
    recipe: Recipe,
    notice: Callable[[str], None],
    advance: Callable[[int], None],
    *,
    level: float = 0.9,
    labels: Path | None = None,
    **promise: Any,
) -> ConformalIntervals:
    """Reconstruct scans of known truth, as `invgen recon` does, and write the intervals that they calibrate.

    Parameters
    ----------
    scans : sequence of Path
        Scans that `invgen simulate` made, or MRI scans with a reconstruction of their own; or images,
        measured first by ``--simulate``. Each slice counts, of CT its pixels in the field of view.
    output : Path
        The file to write.
    reading, recipe, notice
        As of `invgen.pipeline.run.run`.
    advance : callable(int)
        Called with the number of slices that are done.
    level : float
    labels : Path, optional
        An image whose labels from one on are regions: the intervals are then of the means over each of them,
        in the order of their labels.
    **promise
        Guarantee and others of `invgen.calibration.conformal`.

    Raises
    ------
    InvgenError
        For scans without a truth, of several kinds, or too few, labels of other pixels than those of their
        images, and outputs that would replace one of them.
    """
    check_calibration(scans, output, recipe, labels, reading)
    with ExitStack() as stack:
        work, _, problem = opened(stack, scans[0], reading, recipe, notice)
        # as it is asked for: what it takes from the data is chosen for each scan
        solver, samples = work.solver(problem), work.recipe.samples
    if labels is not None:
        promise["regions"] = _regions(labels, tuple(problem.operator.domain.shape))
    # beyond the field of view zero is right, and no merit; that of coil maps is each scan's own
    seen = problem.operator.restrict(torch.ones_like(problem.zeros())) != 0
    if work.modality == "CT" and "regions" not in promise and not bool(seen.all()):
        promise["mask"] = seen.cpu()

    def known() -> Iterator[_Known]:
        done = 0
        for path in scans:
            with ExitStack() as stack:
                for found in _solved(*opened(stack, path, reading, recipe, lambda text: None), path):
                    yield found
                    done += 1
                    advance(done)

    found = conformal(solver, known(), level, samples=samples, **promise)
    found.save(output)
    return found


def check_calibration(scans: Sequence[Path], output: Path, recipe: Recipe, *read: object) -> None:
    """Refuse what no calibration can be made of, before the work.

    Raises
    ------
    InvgenError
        Where the output would replace a file that is read, there are no scans, or options are of
        reconstructions only.
    """
    check_output(output, *scans, recipe, *read)
    if not scans:
        raise ParameterError("There are no scans to calibrate with.")
    for each in given(recipe):
        if each.name in ("preview", "roi"):
            raise ParameterError(f"{each.typed} is of reconstructions; a calibration is of whole images.")
    if recipe.calibration is not None:
        raise ParameterError("--calibration is of reconstructions; a calibration takes none.")


def _regions(path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    """Regions by their labels, bool, (k, *shape)."""
    found = read_label_image(path)
    if found.shape != shape:
        raise ShapeError(f"The labels of {path} are of {found.shape} pixels, and the images of {shape}.")
    names = np.unique(found[found > 0])
    if not len(names):
        raise ParameterError(f"{path} has no region: all of its labels are zero.")
    require_memory(len(names) * found.size, f"{len(names)} regions")
    return torch.from_numpy(np.stack([found == name for name in names]))


def opened(
    stack: ExitStack, path: Path, reading: Reading, recipe: Recipe, notice: Callable[[str], None]
) -> tuple[Work, range, Problem]:
    """A scan, its slices, and the problem of the middle one, on which nothing is chosen yet."""
    scan = reading.open(path)
    stack.callback(scan.close)
    work = work_on(scan, reading, recipe)
    work.compares = False
    slices = select(work.recipe.slices, work.count, "slices")
    return work, slices, work.first(slices[len(slices) // 2], notice)


def _solved(work: Work, slices: range, problem: Problem, path: Path) -> Iterator[_Known]:
    """Slices of a scan, with what is chosen on the middle one kept for all, as in a reconstruction."""
    work.settle(problem, slices[len(slices) // 2], lambda text: None)
    with nullcontext() if work.simulated else Truth(path) as truths:
        for group in work.groups(slices):
            read = work.read(group)
            truth = read.extra
            if truths is not None:
                rows = torch.stack([truths[row] for row in group])
                truth = rows if work.volume else rows[0]
            shape = (*read.problem.batch_shape, *read.problem.operator.domain.shape)
            if truth is None or truth.shape != shape:
                got = () if truth is None else tuple(truth.shape)
                raise ShapeError(
                    f"{path} has a truth of {got} pixels, and its problem images of {shape}: calibrate with "
                    "scans whose images are those of their truth, such as by --size."
                )
            result = work.compute(read, lambda part: None)
            yield read.problem, truth.to(result.x.device), result
