"""A scan, or images, and what is to be done with it, whatever was measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from invgen import priors
from invgen.calibration import ConformalIntervals
from invgen.core.errors import DataError, DivergenceError, ParameterError
from invgen.core.fingerprint import fingerprint
from invgen.core.moments import moments
from invgen.io.placement import Placement
from invgen.pipeline.calibrations import Bounds, Calibrations
from invgen.pipeline.devices import Worker, chosen, devices_of, in_order
from invgen.pipeline.evaluation import evaluated
from invgen.pipeline.judging import Judged, judged
from invgen.pipeline.options import options
from invgen.pipeline.posterior import check_prior
from invgen.pipeline.quantities import Window
from invgen.pipeline.recipe import Recipe, kind_of
from invgen.pipeline.slices import Read, Solved
from invgen.plausibility import assess
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver, State
from invgen.solvers.checkpoint import Checkpoints
from invgen.solvers.direct.base import DirectSolver
from invgen.solvers.methods import Method, find

__all__ = ["Notice", "Part", "Work", "name_of", "named"]

#: Called with the part of a piece of work that is done, from 0 to 1.
Part = Callable[[float], None]

#: Called with a sentence on what was chosen automatically.
Notice = Callable[[str], None]

#: Options of a recipe that are hyper-parameters of methods, or of the prior of total variation.
_HYPERPARAMETERS = ("weight", "iterations", "window", "nonnegative", "scale")


class Work(ABC):
    """A scan and what is to be done with it.

    `first` and `settle` choose what the recipe leaves open. With a recipe in which nothing is open, what
    `solve` returns follows from the scan, the recipe and the slices alone.

    Parameters
    ----------
    recipe : Recipe
    geometry : str
        Of the scan: one of `invgen.solvers.methods.BEAMS` or `KSPACE`; of images "imaging".
    unit : str
        Of lengths.
    default : str
        The method, where the recipe has none.

    Attributes
    ----------
    recipe : Recipe
        What is asked for, and the choices made since.
    count : int
        Number of slices to choose from.
    unit : str
    remarks : tuple of str
        What is reported of every slice.
    frame : int or None
        Which one the scan is, of several in its file.
    """

    count: int
    frame: int | None = None
    remarks: tuple[str, ...] = ()
    #: What DICOM calls such scans; "image" of images.
    modality: Literal["CT", "MR", "image"]
    #: Reconstructions are complex numbers.
    complex = False
    #: The scan is reconstructed as a volume.
    volume = False
    #: Measurements are simulated, and what is read has the truth as its `extra`.
    simulated = False
    #: What is reconstructed with a learned prior is compared with scans that fit; see `assess`.
    compares = True
    #: What is kept that is chosen on one slice, such as a weight; "" where there is one problem only.
    kept = ", chosen on slice {} and kept for all slices"
    #: How the state of slices that take long is kept, in the folder that is its path; None where it is not.
    checkpoints: Checkpoints | None = None

    def __init__(self, recipe: Recipe, geometry: str, unit: str, default: str) -> None:
        self.recipe, self.unit, self._geometry = recipe.fitting(geometry, default), unit, geometry
        # before anything is computed: the name may be wrong
        self._prior = None if self.recipe.prior is None else evaluated(self.recipe.prior, self.recipe)
        self._known = Calibrations.load(self.recipe.calibration or ())
        if self._known.scans is not None and not self.method.loads_prior:
            raise ParameterError(
                f"--calibration is of scans that fit a learned prior; {self.recipe.solver} has none. Its "
                "intervals are calibrated by invgen calibrate."
            )
        of_regions = self.intervals is not None and self.intervals.regions is not None
        if self.recipe.roi is not None and of_regions:
            raise ParameterError("--calibration has intervals of regions of whole images: leave out --roi.")
        self._solver: Solver | None = None

    @property
    def method(self) -> Method:
        """The method of the recipe."""
        return find(str(self.recipe.solver), self._geometry)

    def follow(self, other: Work) -> None:
        """Take over what was prepared of another frame of the scan, by the same recipe."""
        self._solver, self.checkpoints = other._solver, other.checkpoints

    @abstractmethod
    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, on which what concerns the data is chosen."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """Of a slice, (H, W) or (3, H, W); known once there is a first problem, as all that follows."""

    @property
    @abstractmethod
    def pixel_size(self) -> float | tuple[float, float]:
        """Side of a pixel, or height and width."""

    @property
    def channels(self) -> int | None:
        """Number of channels of a slice, along its first axis; None where it has no such axis."""
        return None

    @abstractmethod
    def placement(self, slices: range) -> Placement:
        """Where the pixels of slices are in space."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the output holds of such scans only."""

    @property
    @abstractmethod
    def statistics(self) -> dict[str, Any]:
        """What a summary holds of such scans only."""

    @abstractmethod
    def groups(self, slices: range) -> Iterator[range]:
        """Slices that are reconstructed together, in their order."""

    @property
    def at_once(self) -> int:
        """On a CPU, how many groups of slices are computed beside one another, each on a thread of its own.

        One, on all threads, is computed while the next is read; zero where there is no memory for the next.
        """
        return 0 if self.volume else 1

    @abstractmethod
    def read(self, slices: range) -> Read:
        """Read one of the groups of slices, on the CPU."""

    @abstractmethod
    def compute(self, read: Read, part: Part) -> Reconstruction:
        """Reconstruct what was read."""

    @abstractmethod
    def whole(self, read: Read, result: Reconstruction) -> Solved:
        """The reconstructed slices with all their pixels, on the CPU."""

    def finished(self, read: Read, result: Reconstruction) -> Solved:
        """The pixels of the reconstructed slices that are asked for, on the CPU."""
        solved = self.whole(read, result)
        return solved if self.recipe.roi is None else solved.within(self._window)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pixels of a slice that are asked for; `image_shape` is that of all."""
        *channels, _, _ = self.image_shape
        rows, columns = self._window
        return (*channels, rows.stop - rows.start, columns.stop - columns.start)

    def placed(self, slices: range) -> Placement:
        """Where the pixels are that are asked for."""
        rows, columns = self._window
        return self.placement(slices).cropped(rows.start, columns.start)

    @property
    def _window(self) -> tuple[slice, slice]:
        """Rows and columns that are asked for, both ends from 0."""
        sides = self.image_shape[-2:]
        if self.recipe.roi is None:
            return slice(0, sides[0]), slice(0, sides[1])
        found = [slice(*part.indices(side)) for part, side in zip(self.recipe.roi, sides, strict=True)]
        ends = [part.stop or 0 for part in self.recipe.roi]
        outside = any(end > side for end, side in zip(ends, sides, strict=True))
        if outside or any(part.stop <= part.start for part in found):
            raise ParameterError(
                f"--roi is of pixels of the image, {sides[0]} x {sides[1]}, at least one of them; got "
                f"{Window().write(self.recipe.roi)}."
            )
        rows, columns = found
        return rows, columns

    def solve(self, slices: range, part: Part) -> Solved:
        """Reconstruct one of the groups of slices."""
        read = self.read(slices)
        return self.finished(read, self.compute(read, part))

    def sent(self, read: Read) -> Read:
        """What was read, on the device of this work; a GPU computes meanwhile."""
        (device,) = self.devices
        problem = read.problem
        if device.type != "cuda":
            return read
        beside = torch.cuda.Stream(device)
        with torch.cuda.stream(beside):
            measurement = problem.measurement.pin_memory().to(device, non_blocking=True)
            moved = Problem(problem.operator, measurement, problem.noise)
        # of this thread, which has nothing else to do; what it returns is kept until the result is on the CPU
        beside.synchronize()
        return replace(read, problem=moved)

    def settle(self, problem: Problem, row: int, notice: Notice) -> None:
        """Choose what the method takes from the data, on the first problem, and keep it."""
        recipe, kept = self.recipe, self.kept.format(row)
        self._known.check(self.solver(problem), recipe.samples or 0, problem)
        found = self.solver(problem).resolved(problem).statistics()
        if self.method.penalized and recipe.weight is None:
            recipe = replace(recipe, weight=float(found["weight"]))
            notice(f"TV weight {recipe.weight:.4g}{kept}.")
        if recipe.scale is None and "scale" in found:
            recipe = replace(recipe, scale=float(found["scale"]))
            notice(f"Scale {recipe.scale:.4g}, the value that is white to the prior{kept}.")
        self.recipe, self._solver = recipe, None

    def solver(self, problem: Problem) -> Solver:
        """The method of the recipe, for problems such as this one; made once."""
        if self._solver is None:
            self._solver = self._build(problem)
        return self._solver

    def hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters that the recipe has for its method, by name."""
        method = self.method
        own = {each.name for each in options(Recipe) if each.methods is not None and each.methods(method)}
        values = {name: getattr(self.recipe, name) for name in _HYPERPARAMETERS if name in own}
        return {name: value for name, value in values.items() if value is not None} | {**self.recipe.settings}

    @property
    def antithetic(self) -> bool:
        """Whether samples are drawn in antithetic pairs."""
        return bool(self.hyperparameters().get("antithetic", False))

    def _build(self, problem: Problem) -> Solver:
        build: Callable[..., Solver] = self.method.solver
        given = self.hyperparameters()
        if self.method.prior is None:
            return build(**given)
        if self.method.loads_prior:
            domain, kind = problem.operator.domain, kind_of(self._geometry)
            check_prior(self._prior, str(self.recipe.prior), domain, kind, self.method, self.channels)
            return build(self._prior, **given)
        of_prior = {name: given.pop(name) for name in ("weight", "nonnegative") if name in given}
        axes = (-3, -2, -1) if self.volume else (-2, -1)
        joint = None if self.channels is None else -3
        return build(priors.TotalVariation(**of_prior, axes=axes, joint=joint), **given)

    def _solved(
        self, problem: Problem, part: Part, slices: range, start: torch.Tensor | None = None
    ) -> Reconstruction:
        """Solve the problem of slices, from an image to start at, or draw samples of its posterior."""
        solver, samples, seed = self.solver(problem), self.recipe.samples or 1, self.recipe.seed
        if isinstance(solver, DirectSolver):
            return self._assessed(problem, solver.estimate(problem))
        start = self._start(problem) if start is None else start

        def drawn(device: torch.device, seeds: range, part: Part) -> Reconstruction:
            own, done = _moved(problem, device), 0
            whole = solver.iterations * len(seeds) + 1

            def callback(iteration: int, state: State) -> bool:
                nonlocal done
                done += 1 if self.recipe.samples is None else len(state.x)
                part(min(done / whole, 1.0))  # where memory runs out samples begin again
                return self._enough(own, iteration, state)

            x0 = None if start is None else start.to(device)
            kept = self.checkpoints if solver.iterations > 1 else None
            if kept is not None:
                kept = replace(kept, path=kept.path / f"{name_of(slices, self.frame)}-{seeds.start}.state")
            return solver(
                own, x0=x0, samples=len(seeds), seed=seeds.start, callback=callback, checkpoint=kept
            )

        count, together = len(self.devices) if solver.fewer(2) else 1, 2 if self.antithetic else 1
        shares = _shares(range(seed, seed + samples), count, together)
        if len(shares) == 1:
            return self._assessed(problem, drawn(self.devices[0], shares[0], part))
        workers = [Worker(device, lambda seeds: seeds, partial(drawn, device)) for device in self.devices]
        found = in_order(shares, workers, lambda done: part(done / samples), len)
        return self._assessed(problem, _joined([each for _, each in found]))

    def _assessed(self, problem: Problem, result: Reconstruction) -> Reconstruction:
        """The same, with how plausible it is in its statistics, and its calibrated intervals.

        The former of methods with a learned prior, where it is compared.
        """
        found: dict[str, Any] = {}
        if self.intervals is not None:
            found["intervals"] = self._known.bounds(problem, result)
        if self.method.loads_prior and self.compares:
            found["plausibility"] = assess(
                self.solver(problem), problem, result, calibration=self._known.scans
            )
        return replace(result, stats={**result.stats, **found})

    def _judged(self, result: Reconstruction, arranged: Callable[[Tensor], Tensor]) -> Judged | None:
        """How plausible slices are; `arranged` makes them of what has the shape of the real image."""
        found = result.stats.get("plausibility")
        return None if found is None else judged(found, arranged)

    def fingerprint_of_prior(self) -> str | None:
        """Of the learned prior, where there is one."""
        return None if self._prior is None else fingerprint(self._prior)

    @property
    def intervals(self) -> ConformalIntervals | None:
        """The calibration of intervals, where one is given."""
        return self._known.intervals

    def _bounds(
        self, result: Reconstruction, arranged: Callable[[Tensor], Tensor], images: Tensor
    ) -> Bounds | None:
        """Calibrated intervals of slices, of which these are the images; `arranged` as of `_judged`."""
        return self._known.of_slices(result.stats.get("intervals"), arranged, images)

    def _start(self, problem: Problem) -> torch.Tensor | None:
        """Where to start, if not where the solver would."""
        return None

    def _enough(self, problem: Problem, iteration: int, state: State) -> bool:
        """Whether to stop before the solver would."""
        return False

    def _settle_device(self) -> None:
        """Replace "auto", and refuse a device that is not there."""
        self.recipe = replace(self.recipe, device=chosen(self.recipe.device))
        if self.recipe.deterministic and self.devices[0].type != "cpu":
            raise ParameterError(
                "--deterministic is of the threads of a CPU, and this computes on "
                f"{self.recipe.device}: leave it out, or say --device cpu."
            )
        if self.recipe.graphs and self.devices[0].type != "cuda":
            raise ParameterError("--graphs is for CUDA devices, and this computes on the CPU: leave it out.")

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Where to compute; samples of a slice are drawn on all of them."""
        return devices_of(self.recipe.device)

    def on_device(self, problem: Problem) -> Problem:
        """A problem with its measurement where it is computed."""
        return _moved(problem, self.devices[0])


def _moved(problem: Problem, device: torch.device) -> Problem:
    return Problem(problem.operator, problem.measurement.to(device), problem.noise)


def _shares(seeds: range, count: int, together: int) -> list[range]:
    """The seeds in at most `count` parts of about one size, none of them empty, so many of them together."""
    ends = [len(seeds) * k // count // together * together for k in range(count)] + [len(seeds)]
    return [seeds[low:high] for low, high in pairwise(ends) if low < high]


def _joined(parts: list[Reconstruction]) -> Reconstruction:
    """All samples, which were drawn in parts on several devices, on the first."""
    first = parts[0]
    assert first.samples is not None, "samplers draw them"
    samples = torch.cat([part.samples.to(first.x.device) for part in parts if part.samples is not None])
    return replace(first, x=samples.mean(0), samples=samples, std=moments(samples, first.antithetic).std)


def name_of(slices: range, frame: int | None) -> str:
    """What files of progress call slices that are reconstructed together: the first of them, of its frame."""
    return str(slices.start) if frame is None else f"{frame}-{slices.start}"


@contextmanager
def named(row: int, what: str = "Slice") -> Iterator[None]:
    """Say which slice an error is of."""
    try:
        yield
    except (DataError, DivergenceError) as error:
        raise type(error)(f"{what} {row}: {error}") from error
