"""MRI scans: images of slices one at a time, or slices of the volume that a slab is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invgen.core.errors import DataError, ParameterError
from invgen.pipeline.work import Advance, Notice, Solved, Work, named

if TYPE_CHECKING:
    import torch

    from invgen.io import KSpace, MRIScan
    from invgen.pipeline.recipe import Recipe
    from invgen.problem import Problem
    from invgen.solvers.base import Solver, State

#: Iterations of cg-sense, where nothing is said. It stops when the misfit is down to the noise, but that can
#: be before aliasing is unfolded (a level that the data tell is rather too high); and where the model errs by
#: more than the noise (off-resonance, lagging gradients), more iterations would make rings of the difference.
_FEWEST, _MOST = 10, 30


class Images(Work):
    """Slices or slabs one at a time, each with coil maps of its own."""

    complex = True

    def __init__(self, scan: MRIScan, recipe: Recipe):
        self._scan, self.unit = scan, scan.unit
        #: Something was said that only methods with coil maps understand.
        self._chosen = not recipe.whiten or any(
            option is not None
            for option in (recipe.solver, recipe.maps, recipe.compress, recipe.weight, recipe.iterations)
        )
        self.recipe = recipe.fitting("MRI", "cg-sense")
        #: Slices of a slab, which is one problem.
        self._depth = scan.image_shape[0] if len(scan.image_shape) == 3 else 1
        self.count = scan.slices * self._depth
        if self._depth > 1:
            self.kept = "" if scan.slices == 1 else ", chosen on the slab of slice {} and kept for all"

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of a slice, once device and solver are settled."""
        scan = self._scan
        self._settle_device(needs_cufinufft=scan.trajectory != "cartesian")
        slab = row // self._depth
        try:
            problem, report = self._problem(slab)
        except (DataError, ParameterError) as error:
            if self._chosen:
                raise
            self.recipe = replace(self.recipe, solver="rss")
            problem, report = self._problem(slab)
            notice(f"Root sum of squares: no coil maps can be made. {error}")
        self._ready = {slab: (problem, report)}
        height, width = self._scan.crop(problem.zeros()).shape[-2:]
        self._shape = height, width
        if problem.noise is None and self.recipe.weight is None and self.recipe.solver in ("cg-sense", "tv"):
            if problem.expected_misfit() is not None:
                notice("No noise scan: the outer part of k-space tells how strong the noise is.")
            else:
                notice(
                    "The noise is not known: --weight, or --iterations of cg-sense, tell how smooth to be."
                )
        return problem

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of a slice."""
        return self._shape

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        height, width = self._scan.pixel_size[-2:]
        return height, width

    @property
    def about(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def statistics(self) -> dict[str, str]:
        """Coils and maps."""
        scan, recipe = self._scan, self.recipe
        maps = "" if recipe.solver == "rss" or scan.coils == 1 else f", maps by {recipe.maps or 'espirit'}"
        return {"coils": f"{scan.coils}{maps}"}

    def solver(self) -> Solver:
        """The method of the recipe."""
        from invgen import priors, solvers

        recipe = self.recipe
        given: dict[str, Any] = {} if recipe.iterations is None else {"iterations": recipe.iterations}
        weight = "auto" if recipe.weight is None else recipe.weight
        match recipe.solver:
            case "cg-sense":
                if recipe.weight is None:
                    given = {"iterations": _MOST} | given
                return solvers.CG(recipe.weight or 0.0, **given)
            case "tv":
                axes = (-3, -2, -1) if self._depth > 1 else (-2, -1)
                return solvers.PDHG(priors.TotalVariation(weight, axes=axes), **given)
            case _ if self._scan.trajectory != "cartesian":
                return solvers.Gridding()
            case "rss":
                return solvers.RootSumOfSquares()
            case _:
                return solvers.ZeroFilled()

    def solve(self, solver: Solver, rows: range, advance: Advance) -> Iterator[Solved]:
        """Reconstruct slices in their order."""
        import torch

        solved = None
        for done, row in enumerate(rows):
            slab, depth = divmod(row, self._depth)
            if slab != solved:
                with named(row):
                    problem, report = self._taken(slab)

                    def tell(part: float, done: int = done) -> None:
                        advance(done + part, len(rows))

                    result = self._solved(solver, problem, tell)
                # one number, or of a batch of coils one for each
                iterations = int(torch.as_tensor(result.stats["iterations"]).max())
                image = self._slices_of(self._combined(result.x))
                samples = None if result.samples is None else self._slices_of(result.samples)
                solved = slab
                del problem, result
            yield Solved(image[depth], None if samples is None else samples[:, depth], report, iterations)

    def _slices_of(self, x: torch.Tensor) -> torch.Tensor:
        """The wanted part of a slab, as its slices, or of a slice as the only one."""
        x, axes = self._scan.crop(x), len(self._scan.image_shape)
        return x.reshape(*x.shape[: x.ndim - axes], self._depth, *x.shape[-2:])

    def _enough(self, problem: Problem, iteration: int, state: State) -> bool:
        """Whether cg-sense, where nothing is said, has come down to the noise."""
        floor = problem.expected_misfit()
        told = self.recipe.solver != "cg-sense" or self.recipe.weight or self.recipe.iterations
        if told or floor is None or iteration < _FEWEST:
            return False
        return bool((state.variables["misfit"] <= floor).all())

    def _combined(self, x: torch.Tensor) -> torch.Tensor:
        """The root of the sum of squares over coils, where the problem is a batch of them."""
        import torch

        if x.ndim == len(self._scan.image_shape):
            return x
        return torch.linalg.vector_norm(x, dim=0).to(x.dtype)

    def _taken(self, slab: int) -> tuple[Problem, tuple[str, ...]]:
        """The problem of a slab, which is there already if it was the first."""
        return self._ready.pop(slab, None) or self._problem(slab)

    def _problem(self, slab: int) -> tuple[Problem, tuple[str, ...]]:
        """Make the problem of a slab, and tell what was done to its data."""
        from invgen.io.mri.problems import to_problem

        recipe = self.recipe
        with named(slab * self._depth):
            kspace = self._scan.kspace(slab, recipe.repetition)
            if recipe.solver == "rss":
                return self._on_device(_of_each_coil(kspace)), kspace.report
            problem = to_problem(
                kspace,
                coils=recipe.maps or "espirit",
                compress=recipe.compress,
                whiten=recipe.whiten,
            )
            return self._on_device(problem), kspace.report


def _of_each_coil(kspace: KSpace) -> Problem:
    """Coils as they are: images along a trajectory are a batch, and on a grid the solver combines them."""
    from invgen.io.mri.problems import to_problem
    from invgen.operators import NonCartesianMRI
    from invgen.problem import Problem

    if kspace.trajectory is None:
        return to_problem(kspace, coils="none", compress=None, whiten=False)
    return Problem(NonCartesianMRI(kspace.image_shape, kspace.trajectory), kspace.data)
