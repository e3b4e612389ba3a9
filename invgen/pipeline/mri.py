"""MRI scans: images of slices one at a time, or slices of the volume that a slab is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from threading import Lock
from typing import Any

import torch

from invgen.core.errors import DataError, ParameterError
from invgen.core.memory import allowed_memory
from invgen.io import KSpace, MRIScan, Placement
from invgen.io.mri.problems import Receiver, to_problem
from invgen.operators import MRI, NonCartesianMRI
from invgen.operators.mri.partial_fourier import partial_axes
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.slices import Read, Solved
from invgen.pipeline.work import Notice, Part, Work, named
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import State
from invgen.solvers.partial_fourier import PartialFourierSolver

__all__ = ["Images"]

#: Iterations of cg-sense by default. It stops when the misfit is down to the noise, but that can
#: be before aliasing is unfolded (a level estimated from the data is rather too high); and where the model
#: errs by more than the noise (off-resonance, lagging gradients), more iterations would make rings of it.
_FEWEST, _MOST = 10, 30

#: Options that ask for a method with coil maps.
_OF_MAPS = ("solver", "maps", "compress", "weight", "iterations")


class Images(Work):
    """Slices or slabs one at a time, each with coil maps of its own."""

    complex, modality = True, "MR"

    def __init__(self, scan: MRIScan, recipe: Recipe) -> None:
        cartesian = scan.trajectory == "cartesian"
        super().__init__(recipe, "cartesian" if cartesian else "non-cartesian", scan.unit, "cg-sense")
        #: The method takes coils without maps, each with a phase of its own.
        self._takes_coils = issubclass(self.method.solver, PartialFourierSolver)
        if self.recipe.maps == "none" and not self._takes_coils:
            raise ParameterError(
                f"--maps none is for homodyne and pocs, which take each coil by itself; {self.recipe.solver} "
                "combines coils by maps: espirit or adaptive."
            )
        self._scan = scan
        #: A method with coil maps is asked for, which no other may replace.
        self._asked = not recipe.whiten or any(getattr(recipe, name) is not None for name in _OF_MAPS)
        #: Slices of a slab, which is one problem.
        self._depth = scan.image_shape[0] if len(scan.image_shape) == 3 else 1
        self.count, self.volume = scan.slices * self._depth, self._depth > 1
        if self.volume:
            self.kept = "" if scan.slices == 1 else ", chosen on the slab of slice {} and kept for all"
        self._ready: dict[int, tuple[Problem, tuple[str, ...]]] = {}

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, once device and solver are settled."""
        scan = self._scan
        self._settle_device()
        slab = row // self._depth
        try:
            problem, report = self._problem(slab)
        except (DataError, ParameterError) as error:
            if self._takes_coils and self.recipe.maps is None:
                self.recipe = replace(self.recipe, maps="none")
            elif not self._asked:
                self.recipe = replace(self.recipe, solver="rss")
            else:
                raise
            problem, report = self._problem(slab)
            notice(f"Root sum of squares: no coil maps can be made. {error}")
        if scan.repetitions > 1 and self.frame is None:
            times, chosen = scan.repetitions, scan.frames[self.recipe.repetition]
            notice(f"Each slice was measured {times} times: {chosen} (--repetition says otherwise).")
        self._ready = {slab: (problem, report)}
        if self._takes_coils and isinstance(problem.operator, MRI):
            for extent in partial_axes(problem.operator.mask > 0):
                notice(f"Found {extent}.")
        if problem.noise is None and self.recipe.weight is None and self.recipe.solver in ("cg-sense", "tv"):
            if problem.expected_misfit() is not None:
                notice("No noise scan: the noise level is estimated from the outer part of k-space.")
            else:
                notice("The noise is unknown: --weight, or --iterations of cg-sense, sets how smooth to be.")
        return self.on_device(problem)

    def follow(self, other: Work) -> None:
        """Take over solver and coil maps."""
        super().follow(other)
        assert isinstance(other, Images), "frames of one scan are alike"
        self._common = other._common

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of a slice."""
        return self._shape

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        height, width = self._scan.pixel_size[-2:]
        return height, width

    def placement(self, slices: range) -> Placement:
        """Slices where the scan has them, else around the origin."""
        whole = self._scan.placement(self._grid)
        return replace(whole, positions=whole.positions[slices.start : slices.stop : slices.step])

    @property
    def about(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def statistics(self) -> dict[str, Any]:
        """Coils, and how their maps are found; None where there are none."""
        coils, recipe = self._scan.coils, self.recipe
        has_maps = recipe.solver != "rss" and recipe.maps != "none" and coils > 1
        return {"coils": coils, "maps": recipe.maps or "espirit" if has_maps else None}

    def hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters by name; cg-sense has no weight, and few iterations."""
        given = super().hyperparameters()
        if self.recipe.solver == "cg-sense":
            if self.recipe.weight is None:
                given.setdefault("iterations", _MOST)
            given.setdefault("weight", 0.0)
        return given

    def groups(self, slices: range) -> Iterator[range]:
        """Those of each slab."""
        start = 0
        for _, rows in groupby(slices, lambda row: row // self._depth):
            stop = start + len(list(rows))
            yield slices[start:stop]
            start = stop

    def read(self, slices: range) -> Read:
        """The slab of which these slices are."""
        slab = slices[0] // self._depth
        problem, report = self._ready.pop(slab) if slab in self._ready else self._problem(slab)
        return Read(slices, problem, (report,) * len(slices))

    def compute(self, read: Read, part: Part) -> Reconstruction:
        """Reconstruct a slab."""
        with named(read.slices[0]):
            return self._solved(self.on_device(read.problem), part, read.slices)

    def whole(self, read: Read, result: Reconstruction) -> Solved:
        """Slices of the slab."""
        slices, first = read.slices, read.slices[0] // self._depth * self._depth
        chosen = slice(slices.start - first, slices.stop - first, slices.step)
        images = self._slices_of(self._combined(result.x))[chosen].cpu()
        samples = None if result.samples is None else self._slices_of(result.samples)[:, chosen].cpu()
        filled = tuple(map(str, result.stats.get("partial_fourier", ())))
        reports = tuple(report + filled for report in read.reports)

        def arranged(shown: torch.Tensor) -> torch.Tensor:
            return self._slices_of(self._averaged(shown))[chosen]

        plausible, bounds = self._judged(result, arranged), self._bounds(result, arranged, images)
        return Solved(images, samples, reports, result.stats, plausibility=plausible, bounds=bounds)

    def _averaged(self, shown: torch.Tensor) -> torch.Tensor:
        """The mean over coils, where the problem is a batch of them."""
        return shown if shown.ndim == len(self._scan.image_shape) else shown.mean(0)

    def _slices_of(self, x: torch.Tensor) -> torch.Tensor:
        """The wanted part of a slab, as its slices, or of a slice as the only one."""
        x, axes = self._scan.crop(x), len(self._scan.image_shape)
        return x.reshape(*x.shape[: x.ndim - axes], self._depth, *x.shape[-2:])

    def _enough(self, problem: Problem, iteration: int, state: State) -> bool:
        """Whether the misfit of cg-sense, where its iterations are not given, is down to the noise."""
        recipe = self.recipe
        if recipe.solver != "cg-sense" or recipe.weight or recipe.iterations or iteration < _FEWEST:
            return False
        floor = problem.expected_misfit()
        return floor is not None and bool((state.variables["misfit"] <= floor).all())

    def _combined(self, x: torch.Tensor) -> torch.Tensor:
        """The root of the sum of squares over coils, where the problem is a batch of them."""
        if x.ndim == len(self._scan.image_shape):
            return x
        return torch.linalg.vector_norm(x, dim=0).to(x.dtype)

    def _problem(self, slab: int) -> tuple[Problem, tuple[str, ...]]:
        """The problem of a slab, and the report on its data."""
        with named(slab * self._depth):
            kspace = self._scan.kspace(slab, self.recipe.repetition)
            problem = self._of(slab, kspace)
        self._grid = tuple(problem.operator.domain.shape[-len(self._scan.image_shape) :])
        height, width = self._scan.crop(problem.zeros()).shape[-2:]
        self._shape = height, width
        return problem, kspace.report

    def _of(self, slab: int, kspace: KSpace) -> Problem:
        if self.recipe.solver == "rss":
            return _of_each_coil(kspace)
        if self.recipe.maps == "none":
            return _of_coils_apart(kspace, self.recipe.compress)
        if self.frame is None:
            return to_problem(kspace, **self._coils)
        return self._common.of(slab).problem(kspace)

    @property
    def _coils(self) -> dict[str, Any]:
        """How coil maps, and the virtual coils that they are of, are found."""
        recipe = self.recipe
        return {"coils": recipe.maps or "espirit", "compress": recipe.compress, "whiten": recipe.whiten}

    @cached_property
    def _common(self) -> _Common:
        """Coil maps of this frame, for all that follow it."""
        return _Common(
            lambda slab: Receiver.of(self._scan.kspace(slab, self.recipe.repetition), **self._coils)
        )


class _Common:
    """Coil maps of slabs that all frames have in common, each found once, from any thread.

    They are kept as far as a quarter of the memory goes; the others are found again for each frame, with the
    same values.
    """

    def __init__(self, find: Callable[[int], Receiver]) -> None:
        self._find, self._lock = find, Lock()
        self._kept: dict[int, Receiver] = {}

    def of(self, slab: int) -> Receiver:
        """Those of a slab."""
        with self._lock:
            if slab in self._kept:
                return self._kept[slab]
            found = self._find(slab)
            if found.nbytes + sum(each.nbytes for each in self._kept.values()) <= allowed_memory() // 4:
                self._kept[slab] = found
            return found


def _of_each_coil(kspace: KSpace) -> Problem:
    """Coils as they are: images along a trajectory are a batch, and on a grid the solver combines them."""
    if kspace.trajectory is None:
        return to_problem(kspace, coils="none", compress=None, whiten=False)
    return Problem(NonCartesianMRI(kspace.image_shape, kspace.trajectory), kspace.data)


def _of_coils_apart(kspace: KSpace, compress: int | None) -> Problem:
    """Coils without maps as a batch: each has a phase of its own."""
    plain = kspace.reported(covariance=None, averages=None)
    problem = to_problem(plain, coils="none", compress=compress, whiten=False)
    return Problem(MRI(kspace.image_shape, kspace.mask), problem.measurement)
