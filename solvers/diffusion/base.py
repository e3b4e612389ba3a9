"""The one schedule and the one loop of the samplers that anneal the noise level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.priors.diffusion.reverse import noise_levels
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.sampling.base import PosteriorSampler
from invgen.solvers.state import State

__all__ = ["DiffusionSolver", "renoised"]


@dataclass(frozen=True)
class DiffusionSolver(PosteriorSampler):
    """Base of the diffusion posterior samplers; a subclass gives `step`, and its data step by `prepare`.

    Noise levels fall from the highest to the lowest as in Karras et al. (2022), eq. 5. At each, samples
    ``x = x0 + sigma n`` are denoised, the data correct what comes out, and noise of the next level is added.

    Parameters
    ----------
    prior : Denoiser
    scale, chunk_size
        See `invgen.solvers.sampling.base.PosteriorSampler`.
    sigma_range : pair of numbers, optional
        Lowest and highest noise level, in the prior's unit; by default those it was made for, its
        `noise_range`.
    """

    _: KW_ONLY
    iterations: int = 50
    sigma_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 2:
            raise ParameterError(f"{self.name} needs at least two noise levels; got {self.iterations}.")
        if self.sigma_range is None and format_of(self.prior).noise_range is None:
            raise CapabilityError(
                f"{type(self.prior).__name__} has no range of noise levels: give "
                "sigma_range=(lowest, highest), in the unit of its images."
            )
        self.levels()

    def levels(self) -> list[float]:
        """The noise levels, from the highest on, and zero, where they do not depend on the problem."""
        return noise_levels(self.iterations, *self.ends())

    def ends(self) -> tuple[float, float]:
        """The lowest and the highest noise level."""
        return self.sigma_range or format_of(self.prior).noise_range  # type: ignore[return-value]

    def schedule(self, problem: Problem) -> Sequence[Any]:
        """The noise levels of a problem; here those of any."""
        return self.levels()

    def start(self, problem: Problem, prepared: Any, state: State, sigma: Any, draws: Draws) -> State:
        """The state at the highest level, of noise `sigma`, from an image alone."""
        width = problem.operator.domain.per_sample(sigma)
        return State(x=state.x, noisy=state.x + width * draws(state.x))

    def step(self, problem: Problem, prepared: Any, state: State, high: Any, low: Any, draws: Draws) -> State:
        """From one noise level to the next.

        Parameters
        ----------
        problem : Problem
        prepared
            What `prepare` returned.
        state : State
            At the level `high`: its variable "noisy" is the image with that noise.
        high, low : as in `schedule`
            The two levels.
        draws : Draws

        Returns
        -------
        State
            The image that is seen on the way, and as "noisy" the one with noise of the level `low`.
        """
        raise NotImplementedError

    def steps(self, problem: Problem, prepared: Any, state: State) -> Iterator[State]:
        """Anneal the noise level."""
        levels, draws = self.schedule(problem), self.draws(problem, state)
        first = state.get("k", lambda: 0)
        state = state if first else self.start(problem, prepared, state, levels[0], draws)
        for k in range(first, self.iterations):
            state = self.step(problem, prepared, state, levels[k], levels[k + 1], draws)
            yield State(x=state.x, **state.variables, k=k + 1, draws=draws.state)


def renoised(x0: Tensor, direction: Tensor, high: float, low: float, eta: float, draws: Draws) -> Tensor:
    """An image with noise of the level `low`, partly that which it had before.

    Song, Meng and Ermon (2021), eq. 12 with 16, in terms of sigma: `direction` is the old noise at unit
    variance, of the level `high`; with ``eta = 1`` as much is fresh as in ancestral sampling, with 0 none.
    """
    fresh = eta * low * math.sqrt(1 - (low / high) ** 2)
    x = x0 + math.sqrt(max(0.0, low**2 - fresh**2)) * direction
    return x + fresh * draws(x) if fresh > 0 else x
