"""Calibrations of the warnings on reconstructions: by raw scans that are known to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.io.images import read_images
from invgen.pipeline.calibrating import check_calibration, opened
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.plausibility import Calibration
from invgen.plausibility.reconstructions import gathered
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["compare", "reconstructed"]

_Reconstructed = tuple[Solver, Problem, Reconstruction]


def compare(
    scans: Sequence[Path],
    output: Path,
    reading: Reading,
    recipe: Recipe,
    notice: Callable[[str], None],
    advance: Callable[[int], None],
    about: str = "",
    examples: Path | None = None,
) -> Calibration:
    """Reconstruct scans that fit, as `invgen recon` does, and write what others are to be compared with.

    Parameters
    ----------
    scans : sequence of Path
        Each slice counts. They need no truth.
    output : Path
        The file to write.
    reading, recipe, notice
        As of `invgen.pipeline.run.run`; the method has a learned prior.
    advance : callable(int)
        Called with the number of slices that are done.
    about : str
        Which scans these are.
    examples : Path, optional
        Of images as the prior has learned from, as `invgen.io.read_images` takes it: see
        `invgen.plausibility.calibrate`.

    Raises
    ------
    InvgenError
        For methods without a learned prior, scans of several kinds, or too few, and outputs that would
        replace one of them.
    """
    check_calibration(scans, output, recipe, reading, examples)
    images = None if examples is None else _examples(examples)

    def counted() -> Iterator[_Reconstructed]:
        for done, each in enumerate(reconstructed(scans, reading, recipe, notice), 1):
            yield each
            advance(done)

    found = gathered(counted(), about, images)
    found.save(output)
    return found


def reconstructed(
    scans: Sequence[Path], reading: Reading, recipe: Recipe, notice: Callable[[str], None]
) -> Iterator[_Reconstructed]:
    """Slices of scans, every scan by another seed: solver, problem and result.

    Of samplers one sample, the only one that is compared, where the others do not matter to it.

    Parameters
    ----------
    scans, reading, recipe, notice
        See `compare`; notices are on the first scan.
    """
    for number, path in enumerate(scans):
        own = replace(recipe, seed=recipe.seed + number)
        with ExitStack() as stack:
            work, slices, problem = opened(stack, path, reading, own, notice)
            if not work.method.loads_prior:
                raise ParameterError(
                    f"Scans are compared by what a learned prior makes of them, and {work.recipe.solver} has "
                    "none: give --solver and --prior."
                )
            drawn = work.recipe.samples
            if recipe.samples is None and drawn is not None and work.solver(problem).fewer(drawn):
                work.recipe = replace(work.recipe, samples=1)  # the first, which is that of all
            work.settle(problem, slices[len(slices) // 2], notice)
            for group in work.groups(slices):
                read = work.read(group)
                result = work.compute(read, lambda part: None)
                problem = work.on_device(read.problem)
                yield work.solver(problem), problem, result
        notice = _silent


def _examples(path: Path) -> torch.Tensor:
    images = read_images(path)
    if shapes := {each.shape for each in images} - {images[0].shape}:
        raise ShapeError(
            f"{path} has images of {images[0].shape} and of {shapes.pop()}: examples are of one shape."
        )
    return torch.from_numpy(np.stack(images))


def _silent(text: str) -> None:
    """Say nothing."""
