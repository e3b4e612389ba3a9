"""Reconstruct the slices of a scan into a file; but for volumes memory does not grow with their number."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.cli.options import chosen, parse_slice
from invgen.cli.outputs import refuse_to_overwrite, require_room
from invgen.cli.reading import Reading
from invgen.cli.recipe import Recipe, command_line
from invgen.cli.work import Advance, Notice, Work

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
    told: dict[str, str]  # what only such scans have
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
    from invgen.io import ReconstructionWriter

    work = _work(scan, recipe)
    rows = chosen(parse_slice(recipe.slices, "--slices"), work.count, "slices")
    refuse_to_overwrite(output, path)
    began, iterations = time.perf_counter(), 0
    middle = rows[len(rows) // 2]
    advance(0, len(rows))
    first = work.first(middle, notice)
    height, width = image_shape = work.image_shape
    require_room(output, (12 if work.complex else 4) * len(rows) * height * width)
    solver = work.solver().resolved(first)
    recipe = work.recipe
    if recipe.solver == "tv" and recipe.weight is None:
        recipe = replace(recipe, weight=float(solver.told()["weight"]))
        notice(f"TV weight {recipe.weight:.4g}{work.weight_kept.format(middle)}.")
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
        **work.about,
    ) as writer:
        for done, (image, report, count) in enumerate(work.solve(solver, rows, advance)):
            writer.write(done, image, report)
            iterations = max(iterations, count)
            advance(done + 1, len(rows))
    seconds = time.perf_counter() - began
    return Summary(rows, solver, recipe, image_shape, work.told, iterations, seconds)


def _work(scan: Scan | MRIScan, recipe: Recipe) -> Work:
    from invgen.cli import ct, mri
    from invgen.io import MRIScan

    if isinstance(scan, MRIScan):
        return mri.Images(scan, recipe)
    return (ct.Volume if scan.geometry == "cone" else ct.Slices)(scan, recipe)


def _settings(path: Path, output: Path, reading: Reading, recipe: Recipe, rows: range) -> dict[str, Any]:
    """Collect what a repetition needs: the command with all choices made, and the same by name."""
    reading = reading.located()
    given = {name: value for name, value in asdict(reading).items() if value is not None}
    return {
        "command": command_line(path.resolve(), output.resolve(), reading, recipe),
        "rows": list(rows),
        "reading": given,
        **asdict(recipe),
    }
