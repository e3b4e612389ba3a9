"""CT scans of a cone beam: the volume at once, in memory or on disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch

from invgen.core.errors import ParameterError
from invgen.io import Panel, Projections, Scan, to_volume_operator, to_volume_problem
from invgen.io.ct.coverage import Coverage
from invgen.operators.tomography.geometry import PlanarGeometry
from invgen.pipeline.ct import CT, require_images, stalling
from invgen.pipeline.devices import chosen
from invgen.pipeline.larger import room_for
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.slices import Read, Solved
from invgen.pipeline.values import select
from invgen.pipeline.work import Notice, Part
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Volume"]


class Volume(CT):
    """The volume of a cone beam, whose slices are measured together."""

    volume, kept = True, ""

    def __init__(self, scan: Scan, recipe: Recipe) -> None:
        if recipe.bin > scan.slices:
            raise ParameterError(
                f"--bin {recipe.bin} averages rows too, and the cone beam has {scan.slices}: at most that."
            )
        super().__init__(scan, recipe)
        self._notice: Notice = lambda text: None

    def first(self, row: int, notice: Notice) -> Problem:
        """The problem of the volume, kept on disk where it does not fit in memory."""
        self._notice, columns = notice, self._scan.columns // self.recipe.bin
        height, width = self.recipe.image_size or (columns, columns)
        views = len(select(self.recipe.views, self._scan.views, "views"))
        self._make_room(self.count * height * width, views * self.count * columns)
        return super().first(row, notice)

    def _make_room(self, voxels: int, rays: int) -> None:
        """Choose to keep a volume and its data on disk, where memory does not suffice to compute there.

        A GPU computes in its own.
        """
        if self.intervals is None and chosen(self.recipe.device) == "cpu":
            self._room = room_for(self.method, voxels, rays, self._notice)

    def _placed(self, panel: Panel, voxels: int) -> Panel:
        """The panel on disk where the volume, which may be wider than was expected, asks for it."""
        if self._room is None:
            self._make_room(voxels, panel.data.numel())
            panel = panel if self._room is None else panel.kept_in(self._room)
        return panel

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice."""
        return self._whole.problem.operator.geometry.fan  # type: ignore[attr-defined]

    @property
    def slice_distance(self) -> float:
        """Distance of the slices: the side of a voxel."""
        return self.pixel_size

    @property
    def _middle(self) -> float:
        """The middle slice: the volume is around the middle of the detector."""
        return (self.count - 1) / 2

    def groups(self, slices: range) -> Iterator[range]:
        """All of them."""
        yield slices

    def read(self, slices: range) -> Read:
        """The volume, of which the slices are kept."""
        whole = self._whole
        return replace(whole, slices=slices, reports=tuple(whole.reports[row] for row in slices))

    def compute(self, read: Read, part: Part) -> Reconstruction:
        """Reconstruct the volume."""
        problem = self.on_device(read.problem)
        return self._solved(problem, part, read.slices, self._start_of_counts(problem, read.extra))

    def whole(self, read: Read, result: Reconstruction) -> Solved:
        """The chosen slices."""
        chosen = slice(read.slices.start, read.slices.stop, read.slices.step)
        samples = None if result.samples is None else self._shown(result.samples[:, chosen])
        reports = tuple((*report, *stalling(result)) for report in read.reports)
        images = self._shown(result.x[chosen])

        def arranged(shown: torch.Tensor) -> torch.Tensor:
            return self._shown(shown[chosen])

        plausible, bounds = self._judged(result, arranged), self._bounds(result, arranged, images)
        return Solved(images, samples, reports, result.stats, plausibility=plausible, bounds=bounds)

    def _seen(self, row: int) -> tuple[Coverage, Projections]:
        return self._panel.coverage(), self._panel.row

    def _problem(self, row: int) -> Problem:
        return self.on_device(self._whole.problem)

    @cached_property
    def _whole(self) -> Read:
        """The problem of the volume, the reports on its rows, and line integrals of few counts."""
        panel = self._panel
        if (few := self._few(panel.quanta)) is not None:
            panel = replace(
                panel, row=panel.row.assumed(few), reports=tuple((*said, few) for said in panel.reports)
            )
        self._assumptions = panel.row.assumptions
        grid = (self.count, *self._grid(panel.row))
        panel = self._placed(panel, math.prod(grid))
        if self._room is None:
            require_images(grid)
        operator = to_volume_operator(panel, grid, self.recipe.fov)
        counts = few is not None and self._takes_counts
        problem = to_volume_problem(panel, operator, counts=counts)
        lines = self._lines(panel.rows()) if counts else None
        return Read(range(self.count), problem, tuple(panel.reports), lines)

    @cached_property
    def _panel(self) -> Panel:
        """The rows of the detector, with the recipe's center."""
        return self._scan.panel(**self._choice, room=self._room)
