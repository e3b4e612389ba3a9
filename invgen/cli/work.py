"""What `invgen recon` solves: slices one at a time, or the volume of a cone beam at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from invgen.cli.options import chosen, parse_degrees, parse_slice
from invgen.errors import DataError, ParameterError

if TYPE_CHECKING:
    import torch

    from invgen.cli.reconstruct import Recipe
    from invgen.io import Scan
    from invgen.operators import FanBeam, Radon
    from invgen.operators.tomography.geometry import PlanarGeometry
    from invgen.problem import Problem
    from invgen.solvers.base import Solver, State

Advance = Callable[[float, int], None]
Solved = tuple["torch.Tensor", tuple[str, ...], int]  # a slice, its report, iterations


class _Work:
    """A scan and what is to be done with it."""

    def __init__(self, scan: Scan, recipe: Recipe, center: float):
        from invgen.io import Stripes, default_steps

        self._scan, self._recipe = scan, recipe
        views = None if recipe.views is None else parse_slice(recipe.views, "--views")
        if recipe.angles_range is None:
            chosen(views or slice(None), scan.views, "views")
        steps = default_steps(scan.stored, recipe.bin)
        if recipe.remove_stripes:
            steps += (Stripes(),)
        angles_range = parse_degrees(recipe.angles_range, "--angles-range")
        self._choice: dict[str, Any] = {
            "center": center,
            "views": views,
            "angles_range": angles_range,
            "steps": steps,
        }

    def _on_device(self, problem: Problem) -> Problem:
        from invgen.problem import Problem

        return Problem(problem.operator, problem.measurement.to(self._recipe.device), problem.noise)


class Slices(_Work):
    """Slices one at a time, with one operator as long as the geometry stays: its plans are made once."""

    _operator: Radon | FanBeam

    @staticmethod
    def count(scan: Scan, recipe: Recipe) -> int:
        """Number of slices to choose from."""
        return scan.slices

    def first(self, row: int) -> Problem:
        """Problem that the weights are chosen on, and whose geometry is that of all."""
        return self._problem(row)[0]

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice, once there is one."""
        return self._operator.geometry

    def solve(self, solver: Solver, rows: range, seed: int, advance: Advance) -> Iterator[Solved]:
        """Reconstruct slices in their order."""
        for done, row in enumerate(rows):
            with _named(row):
                problem, report = self._problem(row)

                def callback(iteration: int, _: State, done: int = done) -> None:
                    advance(done + iteration / (solver.iterations + 1), len(rows))

                result = solver(problem, seed=seed, callback=callback)
            yield result.x, report, result.stats["iterations"]

    def _problem(self, row: int) -> tuple[Problem, tuple[str, ...]]:
        """Make the problem of a slice, and tell what preprocessing did."""
        import torch

        from invgen.io import to_operator, to_problem

        size = self._recipe.size
        with _named(row):
            projections = self._scan.line_integrals(row, **self._choice)
            operator = to_operator(projections, image_shape=None if size is None else (size, size))
            if not hasattr(self, "_operator"):
                self._operator = operator
            # a slice in which frames were lost has its own operator
            if torch.equal(operator.geometry.angles, self._operator.geometry.angles):
                operator = self._operator
            return self._on_device(to_problem(projections, operator)), projections.report


class Volume(_Work):
    """The volume of a cone beam, whose slices are measured together."""

    geometry: PlanarGeometry

    @staticmethod
    def count(scan: Scan, recipe: Recipe) -> int:
        """Number of slices to choose from."""
        if recipe.bin > scan.slices:
            raise ParameterError(
                f"--bin {recipe.bin} averages rows too, and the cone beam has {scan.slices}: at most that."
            )
        return scan.slices // recipe.bin

    def first(self, row: int) -> Problem:
        """The problem, made once."""
        from invgen.io import to_volume_operator, to_volume_problem

        recipe = self._recipe
        panel = self._scan.panel(**self._choice)
        shape = None if recipe.size is None else (self.count(self._scan, recipe), recipe.size, recipe.size)
        operator = to_volume_operator(panel, shape)
        self.geometry, self._reports = operator.geometry.fan, panel.reports
        self._problem = self._on_device(to_volume_problem(panel, operator))
        return self._problem

    def solve(self, solver: Solver, rows: range, seed: int, advance: Advance) -> Iterator[Solved]:
        """Reconstruct the volume, and give the chosen slices."""

        def callback(iteration: int, _: State) -> None:
            advance(len(rows) * iteration / (solver.iterations + 1), len(rows))

        result = solver(self._problem, seed=seed, callback=callback)
        for row in rows:
            yield result.x[row], self._reports[row], result.stats["iterations"]


@contextmanager
def _named(row: int) -> Iterator[None]:
    """Say which slice an error is of."""
    try:
        yield
    except DataError as error:
        raise DataError(f"Slice {row}: {error}") from error
