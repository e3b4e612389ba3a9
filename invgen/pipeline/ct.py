"""CT scans: slices one at a time, or the volume of a cone beam at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from invgen.core.errors import ParameterError
from invgen.io import (
    CenterEstimate,
    Panel,
    Projections,
    Scan,
    Stripes,
    default_steps,
    to_operator,
    to_problem,
    to_volume_operator,
    to_volume_problem,
)
from invgen.operators import FanBeam, Radon
from invgen.operators.tomography.geometry import PlanarGeometry
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.values import select
from invgen.pipeline.work import Notice, Part, Solved, Work, named
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.direct import FBP

__all__ = ["SliceBySlice", "Volume"]


class _CT(Work):
    """What slices and volumes share."""

    def __init__(self, scan: Scan, recipe: Recipe) -> None:
        super().__init__(recipe, scan.geometry, scan.unit, "fbp")
        self._scan, self.count = scan, scan.slices

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, once device and center are settled."""
        scan, recipe = self._scan, self.recipe
        self._settle_device(needs_cufinufft=scan.geometry == "parallel")
        if recipe.center is None:
            center, remark = scan.axis()
            if isinstance(center, CenterEstimate):
                remark = f"standard error {center.uncertainty:.2g}"
            else:
                self.remarks = (f"rotation axis {remark}",)
            notice(f"Centre of rotation at column {center:.2f} ({remark}).")
            self.recipe = replace(self.recipe, center=center)
        if recipe.angles_range is None:
            select(recipe.views, scan.views, "views")
        problem = self._problem(row)
        for sentence in self._assumptions:
            notice(f"{sentence[0].upper()}{sentence[1:]}.")
        return problem

    #: What was assumed in preparing the first slice.
    _assumptions: tuple[str, ...] = ()

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice, once there is one."""
        raise NotImplementedError

    def _problem(self, row: int) -> Problem:
        """The problem that a slice is part of."""
        raise NotImplementedError

    @property
    def _choice(self) -> dict[str, Any]:
        """How the projections of the recipe are chosen and prepared."""
        recipe, scan = self.recipe, self._scan
        steps = default_steps(scan.stored, recipe.bin, recipe.air) + (
            (Stripes(),) if recipe.remove_stripes else ()
        )
        return {
            "center": recipe.center,
            "views": recipe.views,
            "angles_range": recipe.angles_range,
            "steps": steps,
        }

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
    def statistics(self) -> dict[str, Any]:
        """The center of rotation."""
        return {"center": self.recipe.center}

    def hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters by name; attenuation is not negative."""
        given = super().hyperparameters()
        if self.method.name in ("tv", "sirt", "ossart"):
            given.setdefault("nonnegative", True)
        return given


class SliceBySlice(_CT):
    """Slices one at a time, with one operator as long as the geometry stays: its plans are made once."""

    _operator: Radon | FanBeam | None = None

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice, once there is one."""
        assert self._operator is not None, "there has been a first problem"
        return self._operator.geometry

    def groups(self, slices: range) -> Iterator[range]:
        """Each slice alone."""
        return (slices[i : i + 1] for i in range(len(slices)))

    def solve(self, slices: range, part: Part) -> Solved:
        """Reconstruct a slice."""
        (row,) = slices
        problem, report, start = self._prepared(row)
        with named(row):
            result = self._solved(problem, part, start)
        samples = None if result.samples is None else result.samples[:, None].cpu()
        return Solved(result.x[None].cpu(), samples, ((*report, *_stalling(result)),), result.stats)

    def _problem(self, row: int) -> Problem:
        return self._prepared(row)[0]

    def _prepared(self, row: int) -> tuple[Problem, tuple[str, ...], torch.Tensor | None]:
        """The problem of a slice, the report of its preprocessing, and where to start."""
        with named(row):
            projections = self._scan.line_integrals(row, **self._choice)
            projections = self._with_few_quanta(projections)
            self._assumptions = projections.assumptions
            operator = to_operator(projections, image_shape=self.recipe.image_size)
            if self._operator is None:
                self._operator = operator
            # a slice in which frames were lost has its own operator
            if torch.equal(operator.geometry.angles, self._operator.geometry.angles):
                operator = self._operator
            quanta, start = projections.quanta, None
            takes_counts = self.method.penalized and quanta is not None and quanta.are_few
            problem = self._on_device(to_problem(projections, operator, counts=takes_counts))
            if takes_counts and quanta is not None:
                # the densest rays, which count least, would be the last to be fitted
                lines = quanta.line_integrals().to(problem.measurement)
                start = FBP()(Problem(operator, lines)).x.clamp(min=0)
            return problem, projections.report, start

    def _with_few_quanta(self, projections: Projections) -> Projections:
        """The projections, and a sentence where their quanta are few."""
        quanta = projections.quanta
        if quanta is None or not quanta.are_few:
            return projections
        few = f"few quanta: {max(quanta.fewest, 0):.0f} or fewer in one of a hundred rays"
        if self.method.penalized:
            return projections.assumed(f"{few}; their Poisson likelihood is used, instead of the logarithm")
        return projections.assumed(
            f"{few}, whose logarithm is biased; the solver tv takes their Poisson likelihood instead"
        )


class Volume(_CT):
    """The volume of a cone beam, whose slices are measured together."""

    volume, kept = True, ""

    def __init__(self, scan: Scan, recipe: Recipe) -> None:
        super().__init__(scan, recipe)
        if recipe.bin > scan.slices:
            raise ParameterError(
                f"--bin {recipe.bin} averages rows too, and the cone beam has {scan.slices}: at most that."
            )
        self.count = scan.slices // recipe.bin

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice."""
        return self._whole[0].operator.geometry.fan  # type: ignore[attr-defined]

    def groups(self, slices: range) -> Iterator[range]:
        """All of them."""
        yield slices

    def solve(self, slices: range, part: Part) -> Solved:
        """Reconstruct the volume, and keep the chosen slices."""
        problem, panel = self._whole
        result = self._solved(problem, part)
        chosen = slice(slices.start, slices.stop, slices.step)
        samples = None if result.samples is None else result.samples[:, chosen].cpu()
        reports = tuple((*panel.reports[row], *_stalling(result)) for row in slices)
        return Solved(result.x[chosen].cpu(), samples, reports, result.stats)

    def _problem(self, row: int) -> Problem:
        return self._whole[0]

    @cached_property
    def _whole(self) -> tuple[Problem, Panel]:
        """The problem of the volume, and the rows that it is made of."""
        size = self.recipe.image_size
        panel = self._scan.panel(**self._choice)
        self._assumptions = panel.row.assumptions
        operator = to_volume_operator(panel, None if size is None else (self.count, *size))
        return self._on_device(to_volume_problem(panel, operator)), panel


def _stalling(result: Reconstruction) -> tuple[str, ...]:
    """A sentence where the iterations stopped above the noise."""
    if not result.stats.get("stalled"):
        return ()
    return ("the iterations stopped where the residual stalls, above the noise",)
