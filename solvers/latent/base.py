"""What all solvers in the latent variables of a generator share: restarts, the unit, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.core.draws import Draws
from invgen.core.errors import DivergenceError
from invgen.operators import Space
from invgen.priors.base import Generator
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.latent.density import LatentDensity, check_generator
from invgen.solvers.point import Density, Point
from invgen.solvers.posterior_mode import PosteriorMode
from invgen.solvers.run import Run
from invgen.solvers.scale import in_prior_unit
from invgen.solvers.state import State

__all__ = ["Descent", "LatentSolver"]


class Descent(Protocol):
    """A method that moves points up a density, each batch element for itself."""

    def begin(self, point: Point) -> dict[str, Tensor]:
        """What it remembers at the first point."""

    def advance(
        self, density: Density, point: Point, memory: dict[str, Tensor]
    ) -> tuple[Point, dict[str, Tensor], Tensor]:
        """The next point, what it remembers, and how far it still is from the end, shape of the batch."""


@dataclass(frozen=True)
class LatentSolver(PosteriorMode):
    """Base of the solvers that look for latent variables z of a generator G whose image fits the data.

    All restarts are optimized at once, on a batch axis before all others; of each batch element the one with
    the least objective is kept. Restart i starts from latent variables that follow from ``seed + i``, alike
    for each batch element. In the callback of a call `State.x` has the images of all restarts,
    (restarts, *batch, *image).

    The statistics report the objective of every restart, "restart_objectives" (restarts, *batch), infinite
    for those that diverged; which was kept, "restart_kept"; how many did not diverge, "restarts_finite"; and
    the latent variables that were kept, "latents".

    A subclass gives the `descent`, or `steps`.

    Parameters
    ----------
    prior : Generator
    restarts : int
    weight : number
        Of minus the logarithm of the density of the latent variables, that is of ``|z|^2 / 2`` for standard
        normal ones: with one, the default, the most probable latent variables given the data are found.
    scale : positive number, tensor with one for each batch element, or "auto"
        The value in the image that becomes the upper end of the prior's value range: white, in its unit.
        "auto" estimates it from a rough reconstruction; with an operator that is not linear, or noise that is
        not Gaussian, it is that upper end itself. Where few data are measured the estimate is poor: give the
        number where it is known. Without effect on priors without a value range.
    """

    prior: Generator
    _: KW_ONLY
    restarts: int = 10

    counts: ClassVar[dict[str, int]] = {"restarts": 1}
    protocols: ClassVar[tuple[type, ...]] = (Generator,)

    def descent(self) -> Descent:
        """What moves the latent variables."""
        raise NotImplementedError

    def regularizer(self, z: Tensor, image: Tensor) -> Tensor:
        """What is added to the data term, of latent variables and their image, shape of the batch."""
        # zero at z = 0, as |z|^2 / 2 is
        origin = self.prior.latent_log_prob(torch.zeros_like(z[(0,) * (z.ndim - self._axes)])[None])
        return self.weight * (origin - self.prior.latent_log_prob(z))

    def prepare(self, problem: Problem) -> Any:
        """The density that is maximized."""
        return self.density_of_latents(problem)

    def density_of_latents(self, problem: Problem) -> Density:
        """That of the latent variables."""
        prior = self.prior
        return LatentDensity(problem, prior.decode, self.regularizer, prior.latent_shape, prior)

    def projected(self, z: Tensor) -> Tensor:
        """The closest latent variables that are allowed, (*batch, d): all are."""
        return z

    def steps(self, problem: Problem, density: Any, state: State) -> Iterator[State]:
        """Move the restarts down."""
        descent = self.descent()
        at = state.get("at", lambda: self.placed(density, descent, state["z"]))
        while True:
            at, measure = self.moved(density, descent, at)
            point = at["point"]
            yield State(
                point["image"],
                measure,
                penalty=point["penalty"],
                latents=point["x"],
                finite=at["finite"],
                at=at,
            )

    def placed(self, density: Density, descent: Descent, z: Tensor) -> dict[str, Any]:
        """The restarts at latent variables: points, what the descent remembers, and which move."""
        point = density(z)
        finite = point.energy.isfinite()
        return {
            "point": point._asdict(),
            "memory": descent.begin(point),
            "finite": finite,
            "moving": finite,
        }

    def moved(self, density: Density, descent: Descent, at: dict[str, Any]) -> tuple[dict[str, Any], Tensor]:
        """The restarts one step further; those that have ended, or diverge, stay where they are."""
        point, memory, moving = Point(**at["point"]), at["memory"], at["moving"]
        reached, remembered, measure = descent.advance(density, point, memory)
        finite = at["finite"] & (reached.energy.isfinite() | ~moving)
        moves = moving & finite
        measure = torch.where(moves, measure, 0)
        further = {
            "point": chosen(moves, reached, point)._asdict(),
            "memory": chosen(moves, remembered, memory),
            "finite": finite,
            "moving": moves & ~(measure <= self.tolerance),
        }
        return further, measure

    def states(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the images of all restarts, (restarts, *batch, *image), in the unit of the image."""
        inner, factor = in_prior_unit(problem, self.scale, self.prior)
        for reached in self.steps(inner, self.prepare(inner), state):
            yield State(factor * reached.x, reached.optimality, **reached.variables)

    @property
    def draws_starts(self) -> bool:
        """Whether there are restarts that start at random."""
        return True

    @property
    def _axes(self) -> int:
        """Number of axes of the latent variables of one image."""
        return len(self.prior.latent_shape)

    def start_space(self, problem: Problem) -> Space:
        """That of the latent variables."""
        return Space(self.prior.latent_shape)

    def initial(self, problem: Problem) -> Tensor:
        """No latent variables to start from, (0, *batch, *latent): all restarts draw theirs."""
        return self.start_space(problem).zeros((0, *problem.batch_shape), problem.zeros())

    def chunks(self, x: Tensor, samples: int, seed: int) -> list[range]:
        """Seeds of the restarts, which run together."""
        return [range(seed, seed + self.restarts)]

    def begin(self, problem: Problem, x: Tensor, seeds: range, seed: int) -> tuple[Problem, State]:
        """The problem and the first latent variables, once for each restart.

        The first ones are `x`, (*batch, *latent) or (n, *batch, *latent); the others are drawn.
        """
        space = self.start_space(problem)
        check_generator(self.prior, self.name, problem)
        zeros = space.zeros((len(seeds), *problem.batch_shape), problem.zeros())
        drawn = Draws(seeds, self._axes, device=x.device)(zeros)
        given = x if x.ndim == drawn.ndim else x[None]
        z = torch.cat([given, drawn[len(given) :]])[: len(seeds)].flatten(drawn.ndim - self._axes)
        z, repeated = self.projected(z), problem.repeated(len(seeds))
        image = self.prior.decode(z.unflatten(-1, self.prior.latent_shape))
        found = in_prior_unit(repeated, self.scale, self.prior)[1] * image
        finite = image.isfinite().all(problem.operator.domain.axes)
        first = chosen(finite, found, torch.zeros_like(found))
        return repeated, State(first, z=z)

    def collected(self, problem: Problem, runs: list[Run], samples: int, seed: int) -> Reconstruction:
        """The restart with the least objective, for each batch element.

        Raises
        ------
        DivergenceError
            Where none is left.
        """
        (run,) = runs
        objectives = run.records[-1][1]
        finite = run.state.get("finite", lambda: torch.ones_like(run.active))
        objectives = torch.where(finite, objectives, torch.inf)
        if not bool(objectives.isfinite().any(0).all()):
            raise DivergenceError(
                f"All {self.restarts} restarts of {self.name} diverged. {type(self.prior).__name__} makes "
                f"images that are not finite, or that {problem.operator.name} with "
                f"{problem.likelihood.name} noise cannot have measured. {self.remedy}"
            )
        kept = objectives.argmin(0)
        moved = torch.stack([torch.as_tensor(k < run.needed) for k in range(run.iteration)] or [run.active])
        history = run.history()
        for name in ("objective", "residual"):
            history[name] = _taken(history[name].movedim(1, 0), kept, 1)
        for name in ("change", "optimality"):  # of the last one that moves
            if run.iteration:
                history[name] = torch.where(moved, history[name], 0).amax(1)
        batched = bool(problem.batch_shape)
        needed, ended = run.needed.amax(0), ~run.active.any(0)
        stats = {
            **({"seed": seed} if self.draws_starts else {}),
            "iterations": needed if batched else int(needed),
            "converged": ended if batched else bool(ended),
            "restart_objectives": objectives,
            "restart_kept": kept if batched else int(kept),
            "restarts_finite": finite.sum(0) if batched else int(finite.sum()),
        }
        if "latents" in run.state.variables:
            z = _taken(run.state["latents"], kept)
            stats["latents"] = z.unflatten(-1, self.prior.latent_shape)
        return Reconstruction(_taken(run.result, kept), history=history, stats=stats)

    @property
    def remedy(self) -> str:
        """What to do about restarts that diverge."""
        return "Take smaller steps, check the range of the generator's images, and scale and noise level."


def _taken(x: Tensor, kept: Tensor, between: int = 0) -> Tensor:
    """Of x, (n, ..., *batch, ...) with `between` axes before those of the batch, the restart that is kept."""
    x = x.movedim(0, between)
    index = kept[(None,) * (between + 1)]
    index = index.reshape(*index.shape, *(1,) * (x.ndim - index.ndim))
    return torch.take_along_dim(x, index, between).squeeze(between)
