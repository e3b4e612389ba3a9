"""CT scans: slices one at a time, or the volume of a cone beam at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invgen.cli.options import chosen, parse_degrees, parse_slice
from invgen.core.errors import ParameterError
from invgen.pipeline.work import Advance, Notice, Solved, Work, named

if TYPE_CHECKING:
    from invgen.io import Scan
    from invgen.operators import FanBeam, Radon
    from invgen.operators.tomography.geometry import PlanarGeometry
    from invgen.pipeline.recipe import Recipe
    from invgen.problem import Problem
    from invgen.solvers.base import Solver


class _CT(Work):
    """What slices and volumes share."""

    geometry: PlanarGeometry  # of a slice, once there is one

    def __init__(self, scan: Scan, recipe: Recipe):
        self._scan, self.recipe, self.unit = scan, recipe.fitting("CT", "fbp"), scan.unit
        self.count = scan.slices
        self._remarks: tuple[str, ...] = ()

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, once device and center are settled."""
        from invgen.io import CenterEstimate, Stripes, default_steps

        scan, recipe = self._scan, self.recipe
        self._settle_device(needs_cufinufft=scan.geometry == "parallel")
        center = recipe.center
        if center is None:
            center, remark = scan.axis()
            if isinstance(center, CenterEstimate):
                remark = f"standard error {center.uncertainty:.2g}"
            else:
                self._remarks = (f"rotation axis {remark}",)
            notice(f"Centre of rotation at column {center:.2f} ({remark}).")
        self.recipe = replace(self.recipe, center=float(center))
        views = None if recipe.views is None else parse_slice(recipe.views, "--views")
        if recipe.angles_range is None:
            chosen(views or slice(None), scan.views, "views")
        steps = default_steps(scan.stored, recipe.bin)
        if recipe.remove_stripes:
            steps += (Stripes(),)
        self._choice: dict[str, Any] = {
            "center": center,
            "views": views,
            "angles_range": parse_degrees(recipe.angles_range, "--angles-range"),
            "steps": steps,
        }
        return self._first(row)

    def _first(self, row: int) -> Problem:
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of a slice."""
        return self.geometry.image_shape

    @property
    def pixel_size(self) -> float:
        """Side of a pixel."""
        return self.geometry.pixel_size

    @property
    def about(self) -> dict[str, Any]:
        """Angles, and center of rotation."""
        return {"angles": self.geometry.angles.numpy(), "center": self.recipe.center}

    @property
    def statistics(self) -> dict[str, str]:
        """The center of rotation."""
        return {"centre": f"column {self.recipe.center:.2f}"}

    def solver(self) -> Solver:
        """The method of the recipe."""
        from invgen import priors, solvers

        recipe, geometry = self.recipe, self._scan.geometry
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


class Slices(_CT):
    """Slices one at a time, with one operator as long as the geometry stays: its plans are made once."""

    _operator: Radon | FanBeam

    def _first(self, row: int) -> Problem:
        return self._problem(row)[0]

    @property
    def geometry(self) -> PlanarGeometry:  # type: ignore[override]
        """Of a slice, once there is one."""
        return self._operator.geometry

    def solve(self, solver: Solver, rows: range, advance: Advance) -> Iterator[Solved]:
        """Reconstruct slices in their order."""
        for done, row in enumerate(rows):
            with named(row):
                problem, report = self._problem(row)

                def tell(part: float, done: int = done) -> None:
                    advance(done + part, len(rows))

                result = self._solved(solver, problem, tell)
            yield Solved(result.x, result.samples, self._remarks + report, result.stats["iterations"])

    def _problem(self, row: int) -> tuple[Problem, tuple[str, ...]]:
        """Make the problem of a slice, and tell what preprocessing did."""
        import torch

        from invgen.io import to_operator, to_problem

        size = self.recipe.size
        with named(row):
            projections = self._scan.line_integrals(row, **self._choice)
            operator = to_operator(projections, image_shape=None if size is None else (size, size))
            if not hasattr(self, "_operator"):
                self._operator = operator
            # a slice in which frames were lost has its own operator
            if torch.equal(operator.geometry.angles, self._operator.geometry.angles):
                operator = self._operator
            return self._on_device(to_problem(projections, operator)), projections.report


class Volume(_CT):
    """The volume of a cone beam, whose slices are measured together."""

    kept = ""

    def __init__(self, scan: Scan, recipe: Recipe):
        super().__init__(scan, recipe)
        if recipe.bin > scan.slices:
            raise ParameterError(
                f"--bin {recipe.bin} averages rows too, and the cone beam has {scan.slices}: at most that."
            )
        self.count = scan.slices // recipe.bin

    def _first(self, row: int) -> Problem:
        """The problem, made once."""
        from invgen.io import to_volume_operator, to_volume_problem

        size = self.recipe.size
        panel = self._scan.panel(**self._choice)
        operator = to_volume_operator(panel, None if size is None else (self.count, size, size))
        self.geometry, self._reports = operator.geometry.fan, panel.reports
        self._problem = self._on_device(to_volume_problem(panel, operator))
        return self._problem

    def solve(self, solver: Solver, rows: range, advance: Advance) -> Iterator[Solved]:
        """Reconstruct the volume, and give the chosen slices."""
        result = self._solved(solver, self._problem, lambda part: advance(len(rows) * part, len(rows)))
        for row in rows:
            samples = None if result.samples is None else result.samples[:, row]
            report = self._remarks + self._reports[row]
            yield Solved(result.x[row], samples, report, result.stats["iterations"])
