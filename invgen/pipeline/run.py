"""Reconstruct the slices of a scan into a file; but for volumes memory does not grow with their number."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.cli.options import chosen, parse_slice
from invgen.pipeline import posterior
from invgen.pipeline.outputs import refuse_to_overwrite, require_room
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe, command_line
from invgen.pipeline.work import Advance, Notice, Work

if TYPE_CHECKING:
    from invgen.io import MRIScan, Scan
    from invgen.solvers.base import Solver


@dataclass(frozen=True)
class Summary:
    """How a reconstruction went."""

    rows: range
    solver: Solver
    recipe: Recipe
    image_shape: tuple[int, int]
    statistics: dict[str, str]  # what only such scans have
    iterations: int  # the most that a slice took
    seconds: float


def reconstruct(
    scan: Scan | MRIScan,
    path: Path,
    output: Path,
    reading: Reading,
    recipe: Recipe,
    notice: Notice,
    advance: Advance,
) -> Summary:
    """Reconstruct slices of a scan and write them to a file.

    Parameters
    ----------
    scan : Scan or MRIScan
        Opened from `path` as `reading` says.
    output : Path
        The file to write; it appears when all slices are in it.
    notice : callable(str)
        Told what was chosen automatically.
    advance : callable(done, total)
        Told how many slices are done, with a fraction for the one at work.
    """
    from invgen.io import ReconstructionWriter, bytes_per_pixel

    work = _work(scan, recipe)
    rows = chosen(parse_slice(recipe.slices, "--slices"), work.count, "slices")
    refuse_to_overwrite(output, path)
    began, iterations = time.perf_counter(), 0
    prior = posterior.load(work.recipe)
    middle = rows[len(rows) // 2]
    advance(0, len(rows))
    first = work.first(middle, notice)
    height, width = image_shape = work.image_shape
    recipe = work.recipe
    require_room(output, bytes_per_pixel(work.complex, recipe.samples) * len(rows) * height * width)
    solver: Solver = work.solver() if prior is None else posterior.sampler(prior, recipe, first)
    solver = solver.resolved(first)
    recipe = _settled(recipe, solver, work.kept.format(middle), notice)
    del first

    with ReconstructionWriter(
        output,
        slices=len(rows),
        image_shape=image_shape,
        pixel_size=work.pixel_size,
        unit=work.unit,
        source=path.resolve(),
        settings=_settings(path, output, reading, recipe, rows),
        complex=work.complex,
        samples=recipe.samples,
        **work.about,
    ) as writer:
        for done, solved in enumerate(work.solve(solver, rows, advance)):
            writer.write(done, solved.image, solved.report, solved.samples)
            iterations = max(iterations, solved.iterations)
            advance(done + 1, len(rows))
    seconds = time.perf_counter() - began
    return Summary(rows, solver, recipe, image_shape, work.statistics, iterations, seconds)


def _work(scan: Scan | MRIScan, recipe: Recipe) -> Work:
    from invgen.io import MRIScan
    from invgen.pipeline import ct, mri

    if isinstance(scan, MRIScan):
        return mri.Images(scan, recipe)
    return (ct.Volume if scan.geometry == "cone" else ct.Slices)(scan, recipe)


def _settled(recipe: Recipe, solver: Solver, kept: str, notice: Notice) -> Recipe:
    """The recipe with what the solver found by itself, which is told."""
    found = solver.statistics()
    if recipe.solver == "tv" and recipe.weight is None:
        recipe = replace(recipe, weight=float(found["weight"]))
        notice(f"TV weight {recipe.weight:.4g}{kept}.")
    if recipe.scale is None and "scale" in found:
        recipe = replace(recipe, scale=float(found["scale"]))
        notice(f"Scale {recipe.scale:.4g}, the value that is white to the prior{kept}.")
    return recipe


def _settings(path: Path, output: Path, reading: Reading, recipe: Recipe, rows: range) -> dict[str, Any]:
    """Collect what a repetition needs: the command with all choices made, and the same by name."""
    reading, recipe = reading.located(), posterior.located(recipe)
    given = {name: value for name, value in asdict(reading).items() if value is not None}
    return {
        "command": command_line(path.resolve(), output.resolve(), reading, recipe),
        "rows": list(rows),
        "reading": given,
        **asdict(recipe),
    }
