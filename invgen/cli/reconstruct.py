"""Reconstruct the slices of a scan one at a time, into a file: memory does not grow with their number."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.cli.options import Reading, chosen, parse_slice
from invgen.cli.outputs import refuse_to_overwrite, require_room
from invgen.errors import DataError, ParameterError

if TYPE_CHECKING:
    from invgen.io import Scan
    from invgen.operators import Radon
    from invgen.problem import Problem
    from invgen.solvers.base import Solver, State

#: Which options each solver understands.
SOLVERS = {
    "fbp": {"window"},
    "tv": {"weight", "iterations", "nonnegative"},
    "cg": {"weight", "iterations"},
    "sirt": {"iterations", "nonnegative"},
}


@dataclass(frozen=True)
class Recipe:
    """What `invgen recon` is told of a reconstruction; None where the program chooses."""

    solver: str = "fbp"
    slices: str | None = None
    views: str | None = None
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
Advance = Callable[[float, int], None]


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
    from invgen.io import ReconstructionWriter

    rows = chosen(parse_slice(recipe.slices, "--slices"), scan.slices, "slices")
    refuse_to_overwrite(output, path)
    recipe = replace(recipe, device=_device(recipe.device))
    center = recipe.center
    if center is None:
        center = scan.find_center()
        notice(f"Centre of rotation at column {center:.2f} (standard error {center.uncertainty:.2g}).")
    recipe = replace(recipe, center=float(center))
    problems = _Problems(scan, recipe, center)
    began, iterations = time.perf_counter(), 0
    middle = rows[len(rows) // 2]
    advance(0, len(rows))
    with _named(middle):
        first, _ = problems(middle)
        image_shape = problems.operator.geometry.image_shape
        require_room(output, 4 * len(rows) * image_shape[0] * image_shape[1])
        solver = _solver(recipe).resolved(first)
    if recipe.solver == "tv" and recipe.weight is None:
        recipe = replace(recipe, weight=float(solver.told()["weight"]))
        notice(f"TV weight {recipe.weight:.4g}, chosen on slice {middle} and kept for all slices.")
    geometry = problems.operator.geometry
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
        for done, row in enumerate(rows):
            with _named(row):
                problem, report = problems(row)

                def callback(iteration: int, _: State, done: int = done) -> None:
                    advance(done + iteration / (solver.iterations + 1), len(rows))

                result = solver(problem, seed=recipe.seed, callback=callback)
            writer.write(done, result.x, report)
            iterations = max(iterations, result.stats["iterations"])
            advance(done + 1, len(rows))
    seconds = time.perf_counter() - began
    return Summary(rows, center, solver, recipe, image_shape, iterations, seconds)


@contextmanager
def _named(row: int) -> Iterator[None]:
    """Say which slice an error is of."""
    try:
        yield
    except DataError as error:
        raise DataError(f"Slice {row}: {error}") from error


class _Problems:
    """The problem of each slice, with one operator as long as the geometry stays: its plans are made once."""

    operator: Radon

    def __init__(self, scan: Scan, recipe: Recipe, center: float):
        from invgen.io import Stripes, default_steps

        self._scan, self._recipe, self._center = scan, recipe, center
        self._views = None if recipe.views is None else parse_slice(recipe.views, "--views")
        chosen(self._views or slice(None), scan.views, "views")
        self._steps = default_steps(scan.stored, recipe.bin)
        if recipe.remove_stripes:
            self._steps += (Stripes(),)

    def __call__(self, row: int) -> tuple[Problem, tuple[str, ...]]:
        """Make the problem of a slice, and tell what preprocessing did."""
        import torch

        from invgen.io import to_operator, to_problem
        from invgen.problem import Problem

        recipe = self._recipe
        projections = self._scan.line_integrals(
            row, center=self._center, views=self._views, steps=self._steps
        )
        shape = None if recipe.size is None else (recipe.size, recipe.size)
        operator = to_operator(projections, image_shape=shape)
        if not hasattr(self, "operator"):
            self.operator = operator
        # a slice in which frames were lost has its own operator
        if torch.equal(operator.geometry.angles, self.operator.geometry.angles):
            operator = self.operator
        problem = to_problem(projections, operator)
        return Problem(operator, problem.measurement.to(recipe.device), problem.noise), projections.report


def _solver(recipe: Recipe) -> Solver:
    from invgen import priors, solvers

    given: dict[str, Any] = {} if recipe.iterations is None else {"iterations": recipe.iterations}
    weight = "auto" if recipe.weight is None else recipe.weight
    nonnegative = recipe.nonnegative is not False  # attenuation is not negative
    match recipe.solver:
        case "fbp":
            return solvers.FBP(recipe.window or "hann")
        case "tv":
            return solvers.PDHG(priors.TotalVariation(weight, nonnegative=nonnegative), **given)
        case "cg":
            return solvers.CG(weight, **given)
        case _:
            return solvers.SIRT(nonnegative=nonnegative, **given)


def _device(name: str) -> str:
    import torch

    present, usable = torch.cuda.is_available(), find_spec("cufinufft") is not None
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
