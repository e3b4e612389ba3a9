"""What the samplers of latent variables share: chains, their burn-in, and what is reported of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import DivergenceError
from invgen.operators import Space
from invgen.priors.base import Generator
from invgen.problem import Problem
from invgen.solvers.latent.density import LatentDensity, check_generator
from invgen.solvers.point import Density, Point
from invgen.solvers.sampling.base import PosteriorSampler
from invgen.solvers.sampling.dual_averaging import DualAveraging
from invgen.solvers.sampling.metropolis import metropolis
from invgen.solvers.sampling.mixing import followed, mixing
from invgen.solvers.state import State

__all__ = ["LatentSampler"]

#: Power of the course of the burn-in that weights the data where it is annealed: Friel and Pettitt (2008)
#: recommend three to five.
_COOLING = 4

#: Draws that an estimate of variances takes, and the number that their average counts for.
_LEAST, _SHRINKAGE = 10, 5


@dataclass(frozen=True, kw_only=True)
class LatentSampler(PosteriorSampler):
    """Base of the Markov chains in the latent variables of a generator; a subclass gives `propose`.

    Chains of the density ``p(y | A G(z)) p(z)`` of latent variables, with Metropolis' correction. Each sample
    is the image ``G(z)`` at the last draw of a chain of its own, that begins with a draw from the standard
    normal density, whatever `x0` is, and finds its step sizes alone. The statistics report how well the
    chains have mixed ("r_hat", "effective_sample_size"), and of the iterations after the burn-in the
    fraction that was accepted ("acceptance"), the mean "step_size" and the number of chains that have not
    moved ("stuck").

    What leaves the finite numbers is not accepted.

    Parameters
    ----------
    prior : Generator
        One that PyTorch can differentiate.
    iterations : int
        Of each chain.
    burn_in : int, optional
        Number of first iterations, in which the chain adapts, by default half of them. In the first half of
        the burn-in the chain finds the density; in the third quarter the variance of each latent variable is
        estimated, by whose root steps are scaled from then on; and all along the step size of each chain.
    annealed : bool
        In the first half of the burn-in the data count ever more, from nothing on: each chain then begins
        with a draw from the prior, and comes to the posterior through the powers of the likelihood.
    thinning : int
        The diagnostics follow each draw of that number after the burn-in, of at most a hundred pixels all
        over the image.
    scale, chunk_size
        See `invgen.solvers.sampling.base.PosteriorSampler`.

    Raises
    ------
    CapabilityError
        For generators without a derivative.
    ShapeError, DtypeError
        For images that are not those of the operator.
    DivergenceError
        Where a chain has found no latent variables of a finite density.
    """

    burn_in: int | None = None
    annealed: bool = False
    thinning: int = 1

    general: ClassVar[bool] = True
    memory: ClassVar[int] = 2**18
    protocols: ClassVar[tuple[type, ...]] = (Generator,)
    counts: ClassVar[dict[str, int]] = {"burn_in": 0, "thinning": 1}

    #: Acceptance that the step size is adapted to.
    target: ClassVar[float]

    def propose(
        self, density: Density, at: Point, width: Tensor, k: int, draws: Draws, space: Space
    ) -> tuple[Point, Tensor]:
        """A proposal, and the logarithm of the ratio that it is accepted by.

        Parameters
        ----------
        density : callable
        at : Point
        width : tensor, shape (*batch, d)
            The step along each of them.
        k : int
            Number of the iteration.
        draws : Draws
        space : Space
            Of the latent variables of an image, in one axis.
        """
        raise NotImplementedError

    def prepare(self, problem: Problem) -> LatentDensity:
        """The posterior density of the latent variables."""
        prior = self.prior
        check_generator(prior, self.name, problem)

        def energy(z: Tensor, image: Tensor) -> Tensor:
            return -prior.latent_log_prob(z)

        return LatentDensity(problem, prior.decode, energy, prior.latent_shape, prior)

    def draws(self, problem: Problem, state: State) -> Draws:
        """The random numbers of each sample, from where `state` left them."""
        return Draws(state["draws"], 1, device=state.x.device)

    def initial(self, problem: Problem) -> Tensor:
        """Zero: chains start in the latent variables, whatever the image."""
        return problem.zeros()

    def steps(self, problem: Problem, posterior: LatentDensity, state: State) -> Iterator[State]:
        """Propose and accept, or not; adapt during the burn-in."""
        space, draws = Space((math.prod(self.prior.latent_shape),)), self.draws(problem, state)
        half, third, burn_in = self._stages()
        first = state.get("k", lambda: 0)
        z = state.get("z", lambda: draws(space.zeros(problem.batch_shape, problem.zeros())))
        at = Point(z, *state.get("at", lambda: posterior(z)[1:]))
        step = DualAveraging(*state.get("step", lambda: DualAveraging.around(torch.zeros_like(at.energy))))
        spread = Spread(*state.get("spread", lambda: Spread.of(z)))
        scale = state.get("scale", lambda: torch.ones_like(z))
        accepted = state.get("accepted", lambda: torch.zeros_like(at.energy))
        trace = state.get("trace", lambda: None)
        for k in range(first, self.iterations):
            density: Density = posterior
            if self.annealed and k < half:
                density = partial(posterior, power=((k + 1) / half) ** _COOLING)
                at = density(at.x)
            width = space.per_sample(step.log_step.exp()) * scale
            proposal = self.propose(density, at, width, k, draws, space)
            at, moved, probability = metropolis(at, *proposal, draws)
            if k < burn_in:
                began = max(start for start in (0, half, third) if start <= k)
                # a chain that has found no density yet says nothing of the step
                known = torch.where(at.energy.isfinite(), probability, self.target)
                step = step.updated(k + 1 - began, known, self.target)
                if half <= k < third:
                    spread = spread.updated(k + 1 - half, at.x)
                if k + 1 == third and third - half >= _LEAST:
                    scale = spread.widths(third - half, space)
                    step = step._replace(average=step.average - scale.log().mean(space.axes))
                if k + 1 in (half, third, burn_in):
                    step = DualAveraging.around(step.average)
            else:
                accepted = accepted + moved
                if (k - burn_in) % self.thinning == 0:
                    trace = followed(trace, problem, at.image)
            if k + 1 == self.iterations:
                self._check(at.energy)
            yield State(
                x=at.image,
                z=at.x,
                at=tuple(at[1:]),
                step=tuple(step),
                spread=tuple(spread),
                scale=scale,
                accepted=accepted,
                trace=trace,
                k=k + 1,
                draws=draws.state,
            )

    def _stages(self) -> tuple[int, int, int]:
        """Iterations at which the first half, three quarters and all of the burn-in are done."""
        burn_in = self.iterations // 2 if self.burn_in is None else self.burn_in
        return burn_in // 2, burn_in * 3 // 4, burn_in

    def _check(self, energy: Tensor) -> None:
        """Refuse chains that end where there is no density: these are no samples."""
        lost = int((~energy.isfinite()).sum())
        if lost:
            raise DivergenceError(
                f"{lost} of {energy.numel()} chains of {self.name} have found no latent variables of a "
                "finite density: the images of the generator there, or what the noise model says of them, "
                "are not finite. Check both on draws of the latent variables."
            )

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """How the chains have moved after the burn-in, and how well they have mixed."""
        burn_in = self._stages()[-1]
        taken = min(end["k"] for end in ends) - burn_in
        if taken < 1:
            return {}
        moves = torch.cat([end["accepted"] for end in ends])
        sizes = torch.cat([DualAveraging(*end["step"]).log_step.exp() for end in ends])
        found = {
            "acceptance": moves.mean(0) / taken,
            "step_size": sizes.mean(0),
            "stuck": (moves == 0).sum(0),
        }
        plain: dict[str, Any] = {n: value if value.ndim else value.item() for n, value in found.items()}
        return plain | mixing([end["trace"] for end in ends])

    @property
    def remedy(self) -> str:
        """What to do about images that explode."""
        return f"Check the generator on draws of its latent variables. {super().remedy}"


class Spread(NamedTuple):
    """Mean of each latent variable of a chain, and the sum of its squared distances: Welford (1962)."""

    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, z: Tensor) -> Self:
        """Of no draws."""
        return cls(torch.zeros_like(z), torch.zeros_like(z))

    def updated(self, n: int, z: Tensor) -> Self:
        """With z as the n-th draw."""
        away = z - self.mean
        mean = self.mean + away / n
        return type(self)(mean, self.squares + away * (z - mean))

    def widths(self, n: int, space: Space) -> Tensor:
        """Standard deviations of n draws, shrunk to their mean over the variables; one of a chain at rest."""
        variance = self.squares / (n - 1)
        average = space.per_sample(variance.mean(space.axes))
        shrunk = (n * variance + _SHRINKAGE * average) / (n + _SHRINKAGE)
        return torch.where(average > 0, shrunk, 1).sqrt()
