"""Reconstruct the slices of a scan into a file; but for cone beams memory does not grow with their number."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.cli.options import Reading, chosen, parse_slice
from invgen.cli.outputs import refuse_to_overwrite, require_room
from invgen.cli.work import Advance, Slices, Volume
from invgen.errors import ParameterError

if TYPE_CHECKING:
    from invgen.io import Scan
    from invgen.solvers.base import Solver

#: Which options each solver understands.
SOLVERS = {
    "fbp": {"window"},
    "tv": {"weight", "iterations", "nonnegative"},
    "cg": {"weight", "iterations"},
    "sirt": {"iterations", "nonnegative"},
    "ossart": {"iterations", "nonnegative"},
}


@dataclass(frozen=True)
class Recipe:
    """What `invgen recon` is told of a reconstruction; None where the program chooses."""

    solver: str = "fbp"
    slices: str | None = None
    views: str | None = None
    angles_range: str | None = None
    center: float | None = None
    bin: int = 1
    size: int | None = None
    remove_stripes: bool = False
    weight: float | None = None
    iterations: int | None = None
    window: str | None = None
    nonnegative: bool | None = None
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weight", "iterations", "window", "nonnegative"):
            if getattr(self, name) is not None and name not in SOLVERS[self.solver]:
                takers = ", ".join(solver for solver, known in SOLVERS.items() if name in known)
                raise ParameterError(
                    f"--{name} means nothing to the solver {self.solver}; it is for {takers}."
                )


@dataclass(frozen=True)
class Summary:
    """How a reconstruction went."""

    rows: range
    center: float
    solver: Solver
    recipe: Recipe
    image_shape: tuple[int, int]
    iterations: int  # the most that a slice took
    seconds: float


Notice = Callable[[str], None]


def reconstruct(
    scan: Scan, path: Path, output: Path, reading: Reading, recipe: Recipe, notice: Notice, advance: Advance
) -> Summary:
    """Reconstruct slices of a scan and write them to a file.

    Parameters
    ----------
    scan : Scan
        Opened from `path` as `reading` says.
    output : Path
        The file to write; it appears when all slices are in it.
    notice : callable(str)
        Told what was chosen automatically.
    advance : callable(done, total)
        Told how many slices are done, with a fraction for the one at work.
    """
    from invgen.io import CenterEstimate, ReconstructionWriter

    Work = Volume if scan.geometry == "cone" else Slices
    rows = chosen(parse_slice(recipe.slices, "--slices"), Work.count(scan, recipe), "slices")
    refuse_to_overwrite(output, path)
    recipe = replace(recipe, device=_device(recipe.device, scan.geometry))
    center, told = recipe.center, []
    if center is None:
        center, remark = scan.axis()
        if isinstance(center, CenterEstimate):
            remark = f"standard error {center.uncertainty:.2g}"
        else:
            told.append(f"rotation axis {remark}")
        notice(f"Centre of rotation at column {center:.2f} ({remark}).")
    recipe = replace(recipe, center=float(center))
    work = Work(scan, recipe, center)
    began, iterations = time.perf_counter(), 0
    middle = rows[len(rows) // 2]
    advance(0, len(rows))
    first = work.first(middle)
    geometry = work.geometry
    image_shape = geometry.image_shape
    require_room(output, 4 * len(rows) * image_shape[0] * image_shape[1])
    solver = _solver(recipe, scan.geometry).resolved(first)
    if recipe.solver == "tv" and recipe.weight is None:
        recipe = replace(recipe, weight=float(solver.told()["weight"]))
        where = "" if scan.geometry == "cone" else f", chosen on slice {middle} and kept for all slices"
        notice(f"TV weight {recipe.weight:.4g}{where}.")
    del first

    with ReconstructionWriter(
        output,
        slices=len(rows),
        image_shape=image_shape,
        pixel_size=geometry.pixel_size,
        unit=scan.unit,
        source=path.resolve(),
        settings=_settings(path, output, reading, recipe, rows),
        angles=geometry.angles.numpy(),
        center=center,
    ) as writer:
        for done, (image, report, count) in enumerate(work.solve(solver, rows, recipe.seed, advance)):
            writer.write(done, image, (*told, *report))
            iterations = max(iterations, count)
            advance(done + 1, len(rows))
    seconds = time.perf_counter() - began
    return Summary(rows, center, solver, recipe, image_shape, iterations, seconds)


def _solver(recipe: Recipe, geometry: str) -> Solver:
    from invgen import priors, solvers

    given: dict[str, Any] = {} if recipe.iterations is None else {"iterations": recipe.iterations}
    weight = "auto" if recipe.weight is None else recipe.weight
    nonnegative = recipe.nonnegative is not False  # attenuation is not negative
    match recipe.solver:
        case "fbp":
            return (solvers.FDK if geometry == "cone" else solvers.FBP)(recipe.window or "hann")
        case "tv":
            axes = (-3, -2, -1) if geometry == "cone" else (-2, -1)
            prior = priors.TotalVariation(weight, nonnegative=nonnegative, axes=axes)
            # parallel beams have a gram that costs less than a proximal map, others do not
            return (solvers.PDHG if geometry == "parallel" else solvers.FISTA)(prior, **given)
        case "cg":
            return solvers.CG(weight, **given)
        case "sirt":
            return solvers.SIRT(nonnegative=nonnegative, **given)
        case _:
            return solvers.OSSART(nonnegative=nonnegative, **given)


def _device(name: str, geometry: str) -> str:
    import torch

    present = torch.cuda.is_available()
    usable = geometry != "parallel" or find_spec("cufinufft") is not None
    if name == "cuda" and not present:
        raise ParameterError("--device cuda: PyTorch finds no CUDA device here; leave it out, or say cpu.")
    if name == "cuda" and not usable:
        raise ParameterError("--device cuda needs cufinufft: pip install 'invgen[gpu]'; or say cpu.")
    return ("cuda" if present and usable else "cpu") if name == "auto" else name


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


def command_line(path: Path, output: Path, reading: Reading, recipe: Recipe) -> str:
    """Write the command that makes the same reconstruction."""
    words = ["invgen", "recon", str(path), "-o", str(output)]
    defaults = asdict(Reading()) | asdict(Recipe()) | {"solver": None}
    for name, value in (asdict(reading) | asdict(recipe)).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            if value != defaults[name]:
                words.append(f"--{option}" if value else f"--no-{option}")
        elif value != defaults[name]:
            words += [f"--{option}", str(value)]
    return shlex.join(words)
