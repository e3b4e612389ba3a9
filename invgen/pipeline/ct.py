"""CT scans, slices one at a time; the volume of a cone beam is in `invgen.pipeline.ct_volume`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from invgen.core.disk import Room, Rows
from invgen.core.memory import memory_left, require_memory
from invgen.core.threads import thread_count
from invgen.io import (
    STRIPE_FILTERS,
    CenterEstimate,
    Paganin,
    Placement,
    Projections,
    Scan,
    default_steps,
    to_operator,
    to_problem,
)
from invgen.io.ct.coverage import Coverage, determined, shown, widened
from invgen.io.ct.geometry import planar_geometry
from invgen.io.ct.quanta import Quanta
from invgen.io.placement import centered
from invgen.operators import FanBeam, Radon
from invgen.operators.tomography.geometry import PlanarGeometry
from invgen.operators.tomography.projection import Projection
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.slices import Read, Solved
from invgen.pipeline.values import select
from invgen.pipeline.work import Notice, Part, Work, named
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers import FBP, FDK

__all__ = ["CT", "SliceBySlice", "require_images", "stalling"]

_DIRECT = (FBP, FDK)

#: Bytes for each ray and each pixel of a slice that is computed while the next one is read, as measured; and
#: for each ray of further rows that are averaged into it.
_PER_RAY, _PER_PIXEL, _PER_AVERAGED = 128, 128, 32


class CT(Work):
    """Base of slices and volumes."""

    modality = "CT"
    #: Where a volume is kept that is larger than memory.
    _room: Room | None = None

    def __init__(self, scan: Scan, recipe: Recipe) -> None:
        super().__init__(recipe, scan.geometry, scan.unit, "fbp")
        self._scan = scan
        #: Detector rows that are averaged into the one of a slice.
        self._rows = recipe.bin if scan.geometry == "cone" else 1
        if scan.geometry == "parallel":
            self._rows = min(recipe.bin, scan.slices)
        self.count = scan.slices // self._rows

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, once device and center are settled."""
        scan, recipe = self._scan, self.recipe
        self._settle_device()
        if recipe.center is None:
            axis = scan.axis()
            center, remark = axis.center, axis.remark
            if isinstance(center, CenterEstimate):
                remark = f"standard error {center.uncertainty:.2g}"
            else:
                self.remarks = (f"rotation axis {remark}",)
            notice(f"Centre of rotation at column {center:.2f} ({remark}).")
            if axis.tilt and recipe.tilt is None:
                notice(
                    f"The rotation axis is tilted by {math.degrees(axis.tilt):.3g} degrees against the "
                    "detector, which is made up for (--tilt says otherwise)."
                )
                self.recipe = replace(self.recipe, tilt=axis.tilt)
            self.recipe = replace(self.recipe, center=center)
        if recipe.angles_range is None:
            select(recipe.views, scan.views, "views")
        if recipe.fov is None or recipe.size is None:
            self._settle_image(row, notice)
        problem = self._problem(row)
        for sentence in self._assumptions:
            notice(f"{sentence[0].upper()}{sentence[1:]}.")
        return problem

    #: What was assumed in preparing the first slice.
    _assumptions: tuple[str, ...] = ()

    def _settle_image(self, row: int, notice: Notice) -> None:
        """Choose the size of the image, and where the object is taken to be, for all slices."""
        recipe = self.recipe
        found, projections = self._seen(row)
        shape = recipe.image_size or found.image_shape(projections)
        fov = found.fov(projections, shape) if recipe.fov is None else recipe.fov
        behind = not isinstance(fov, str) and widened(shape, fov, projections.spacing) != shape
        if recipe.fov is None and self.method.loads_prior and behind:
            # a prior knows nothing of what lies behind its images
            fov = replace(planar_geometry(projections), image_shape=shape).default_fov
        self.recipe = replace(recipe, fov=fov, size=shape)
        if recipe.fov is not None or isinstance(fov, str):
            return
        unit, radius = self.unit, determined(planar_geometry(projections), fov)
        remark = (
            f"the object is taken to lie within {fov:.6g} {unit} of the rotation axis"
            if radius == fov
            else f"the image is that within {radius:.6g} {unit} of the rotation axis; the model of the "
            f"object reaches to {fov:.6g} {unit}, which takes up what lies outside"
        )
        if found.kind == "half-acquisition":
            remark = f"{found}; {remark}"
        self.remarks += (remark,)
        notice(f"{remark[0].upper()}{remark[1:]} (--fov says otherwise).")

    @abstractmethod
    def _seen(self, row: int) -> tuple[Coverage, Projections]:
        """What the views see of the object, and the projections of a row."""

    def _grid(self, projections: Projections) -> tuple[int, int]:
        """Shape of the slices that are solved for, of which the image is the middle."""
        fov, shape = self.recipe.fov, self.image_shape
        assert fov is not None, "it is settled"
        if isinstance(fov, str):
            return shape
        # direct methods need no more than what is determined
        direct = self.method.solver in _DIRECT
        radius = determined(planar_geometry(projections), fov) if direct else fov
        return widened(shape, radius, projections.spacing)

    def _start(self, problem: Problem) -> torch.Tensor | None:
        """Where iterations start: at what filtered backprojection makes of views that the detector cuts.

        What they do not determine stays as it is at the start, so that this is smooth: of waves longer than
        a third of the detector.
        """
        method, A = self.method, problem.linear_operator
        assert isinstance(A, Projection), "as made of the scan"
        if isinstance(A.fov, str) or method.solver in _DIRECT or method.loads_prior:
            return None
        if determined(self.geometry, A.fov) == A.fov:
            return None
        direct = FDK if self.volume else FBP
        return direct(cutoff=min(6 / self.geometry.detector_count, 1.0))(problem).x.clamp(min=0)

    def _shown(self, x: torch.Tensor) -> torch.Tensor:
        """The image, out of slices that were solved for, on the CPU."""
        assert self.recipe.fov is not None, "it is settled"
        return shown(x.cpu(), self.geometry, self.image_shape, self.recipe.fov)

    @property
    def _takes_counts(self) -> bool:
        """Whether the method takes the likelihood of quanta, and not that of their logarithm alone."""
        return self.method.noise in ("any", "smooth")

    def _few(self, quanta: Quanta | None) -> str | None:
        """A sentence where quanta are few; None elsewhere."""
        if quanta is None or not quanta.are_few:
            return None
        few = f"few quanta: {max(quanta.fewest, 0):.0f} or fewer in one of a hundred rays"
        if self._takes_counts:
            return f"{few}; their Poisson likelihood is used, instead of the logarithm"
        return f"{few}, whose logarithm is biased; the solver tv takes their Poisson likelihood instead"

    def _lines(self, rows: Iterable[Projections]) -> torch.Tensor:
        """Line integrals of counts."""
        lines = Rows(self.count, self._room)
        for row in rows:
            if row.quanta is not None:
                lines.add(row.quanta.line_integrals())
        return lines.together()

    def _start_of_counts(self, problem: Problem, lines: torch.Tensor | None) -> torch.Tensor | None:
        """Where iterations of counts start: the densest rays, which count least, would be fitted last.

        None where there are no counts, and for methods with a learned prior, which start where that leads.
        """
        if lines is None or self.method.loads_prior:
            return None
        y = lines.reshape(problem.measurement.shape).to(problem.measurement)
        return (FDK if self.volume else FBP)()(Problem(problem.operator, y)).x.clamp(min=0)

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
        steps = default_steps(scan.stored, recipe.bin, recipe.air)
        if recipe.stripes is not None:
            steps += STRIPE_FILTERS[recipe.stripes]
        return {
            "center": recipe.center,
            "tilt": recipe.tilt,
            "views": recipe.views,
            "angles_range": recipe.angles_range,
            "steps": steps,
            "phase": None if recipe.phase is None else Paganin(*recipe.phase),
        }

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of a slice."""
        assert self.recipe.image_size is not None, "it is settled"
        return self.recipe.image_size

    @property
    def pixel_size(self) -> float:
        """Side of a pixel."""
        return self.geometry.pixel_size

    @property
    def slice_distance(self) -> float:
        """Distance of the slices, that of the detector's (averaged) rows at the rotation axis."""
        return self._scan.row_size * self._rows

    @property
    def _middle(self) -> float:
        """Slice, from 0, that is level with the middle of the detector's rows, some of which may be cut."""
        return (self._scan.slices / self._rows - 1) / 2

    def placement(self, slices: range) -> Placement:
        """Slices around the rotation axis, and the middle of the detector's rows.

        They lie in the scanner's coordinates as axial slices do in a patient's: x of the geometry is to the
        left of the patient, y to the front, and later rows of the detector are nearer to the head. Viewers
        then show each slice with its first row at the top, and the object is not mirrored where the sense
        of rotation is as seen from the side of the first slice.
        """
        distance = self.slice_distance
        offsets = [(row - self._middle) * distance for row in slices]
        return centered(self.image_shape, self.pixel_size, offsets, distance, self.unit, stated=True)

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


class SliceBySlice(CT):
    """Slices one at a time, with one operator as long as the geometry stays: its plans are made once."""

    _operator: Radon | FanBeam | None = None

    def follow(self, other: Work) -> None:
        """Take over solver and operator, with its plans."""
        super().follow(other)
        assert isinstance(other, SliceBySlice), "frames of one scan are alike"
        self._operator = other._operator

    @property
    def geometry(self) -> PlanarGeometry:
        """Of a slice, once there is one."""
        assert self._operator is not None, "there has been a first problem"
        return self._operator.geometry

    @property
    def at_once(self) -> int:
        """By direct methods as many as there are threads, as far as memory goes: the bits stay the same.

        Of iterative ones one, on all threads.
        """
        room = memory_left() // self._needed
        return min(room, thread_count() if self.method.solver in _DIRECT else 1)

    @property
    def _needed(self) -> int:
        """Bytes of a slice that is computed while the next one is read."""
        rays = self._scan.views * self._scan.columns
        pixels = math.prod(self._operator.domain.shape if self._operator else self.image_shape)
        return (_PER_RAY + _PER_AVERAGED * (self._rows - 1)) * rays + _PER_PIXEL * pixels

    def groups(self, slices: range) -> Iterator[range]:
        """Each slice alone."""
        return (slices[i : i + 1] for i in range(len(slices)))

    def compute(self, read: Read, part: Part) -> Reconstruction:
        """Reconstruct a slice."""
        problem = self.on_device(read.problem)
        with named(read.slices[0]):
            return self._solved(problem, part, read.slices, self._start_of_counts(problem, read.extra))

    def whole(self, read: Read, result: Reconstruction) -> Solved:
        """The image, and what was done to the slice."""
        samples = None if result.samples is None else self._shown(result.samples)[:, None]
        reports = tuple((*report, *stalling(result)) for report in read.reports)
        image = self._shown(result.x)[None]

        def arranged(shown: torch.Tensor) -> torch.Tensor:
            return self._shown(shown)[None]

        plausible, bounds = self._judged(result, arranged), self._bounds(result, arranged, image)
        return Solved(image, samples, reports, result.stats, plausibility=plausible, bounds=bounds)

    def _seen(self, row: int) -> tuple[Coverage, Projections]:
        with named(row):
            return self._scan.coverage(**self._choice), self._row(row)

    def _row(self, row: int) -> Projections:
        """Line integrals of a slice."""
        return self._scan.line_integrals(row * self._rows, **self._choice, rows=self._rows)

    def _problem(self, row: int) -> Problem:
        return self.on_device(self.read(range(row, row + 1)).problem)

    def read(self, slices: range) -> Read:
        """The problem of a slice, the report of its preprocessing, and line integrals of few counts."""
        (row,) = slices
        with named(row):
            projections = self._row(row)
            if (few := self._few(projections.quanta)) is not None:
                projections = projections.assumed(few)
            self._assumptions = projections.assumptions
            operator = self._operator_of(projections)
            counts = few is not None and self._takes_counts
            problem = to_problem(projections, operator, counts=counts)
            lines = self._lines([projections]) if counts else None
            return Read(slices, problem, (projections.report,), lines)

    def _operator_of(self, projections: Projections) -> Radon | FanBeam:
        """The operator of all slices, or of one in which frames were lost, or whose axis is elsewhere."""
        if (first := self._operator) is not None:
            own = planar_geometry(projections)
            same = own.detector_offset == first.geometry.detector_offset
            if same and torch.equal(own.angles, first.geometry.angles):
                return first
        grid = self._grid(projections)
        require_images(grid)
        operator = to_operator(projections, image_shape=grid, fov=self.recipe.fov)
        if first is None:
            self._operator = operator
        return operator


def require_images(shape: tuple[int, ...]) -> None:
    """Refuse images of which there is no memory for three: the iterate, its gradient and the next one."""
    words = " x ".join(map(str, shape))
    require_memory(12 * math.prod(shape), f"An image of {words}", "choose a smaller --size")


def stalling(result: Reconstruction) -> tuple[str, ...]:
    """A sentence where the iterations stopped above the noise."""
    if not result.stats.get("stalled"):
        return ()
    return ("the iterations stopped where the residual stalls, above the noise",)
