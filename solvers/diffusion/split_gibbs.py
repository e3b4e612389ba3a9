"""Split Gibbs sampling: the data and the prior in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import LinearOperator
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.sampling.base import PosteriorSampler
from invgen.solvers.sampling.likelihood_step import LangevinStep
from invgen.solvers.sampling.prior_step import prior_draw
from invgen.solvers.sampling.unbiased_step import UnbiasedStep
from invgen.solvers.state import State

__all__ = ["SplitGibbs"]

#: Equal steps of this power of rho: geometric for zero; below, more iterations go to small rho.
_POWER = -1 / 4

#: The last rho against ``1 / sqrt(L)``, the noise of the data in the direction that is measured best: where
#: the step of the data is without bias, and where the split adds the square of it to the variance there.
_LAST, _LAST_SPLIT = 0.5, 0.1

#: Values of rho; from which on iterations are overrelaxed, as a part of all; and by how much.
_LEVELS, _PLAIN, _OVER = 10, 0.3, 0.85

#: The part of all iterations that comes last, at the last rho, with images that are drawn anew.
_ANEW = 0.1


@dataclass(frozen=True, kw_only=True)
class SplitGibbs(PosteriorSampler):
    """Split Gibbs sampling with a denoiser: Wu et al. (2024), algorithm 1, without its bias, and overrelaxed.

    "Principled probabilistic imaging using diffusion models as plug-and-play priors" draws in turns

        z ~ p(y | A z) N(z; x, rho^2)     the likelihood step, exact for linear operators and Gaussian noise
        x ~ p(x) N(x; z, rho^2)           the prior step: what x was, of which z is a copy with noise rho

    so that x is of the posterior as rho falls to zero. But the chain mixes at a rate that falls with rho^2.
    Here x is of the posterior already where rho is half of the noise of the data, and the chain mixes faster:

    - The likelihood step is `UnbiasedStep`.
    - There are ten values of rho. From the fourth on, all iterations at one rho but the first are overrelaxed
      (Adler 1981; Barone and Frigessi 1990): what is drawn from a Gaussian of the mean m, after an old value,
      is

          m - a (old - m) + sqrt(1 - a^2) (new - m),    a = 0.85,

      which keeps this Gaussian, and passes to the other side of the mean. Both steps together then move like
      a pendulum rather than by chance: where posterior variances are c times as large as rho^2, as many
      iterations are needed as the square root of c, instead of c. Where rho is large, x given z may have
      several modes, whose odds overrelaxation would change.
    - Where x given z is no Gaussian, such as that of an image of constant pieces, overrelaxation keeps its
      mean and variance only. The last tenth of the iterations draws x anew, all at the last rho.
    - The prior step is two evaluations of the denoiser: see `prior_draw`.

    rho falls from what hides the image, ``rho^(-1/4)`` by equal steps. On the Gaussian problems of
    `invgen certify`, by the law of the chain, 100 iterations (200 evaluations) give the mean within 0.3 % of
    the posterior's standard deviation (root mean square over the pixels) and the variance within 1 %, 45
    iterations within 1 % and 1.2 %. Where few pixels of a smooth image are seen nearly without noise, the
    mean is off by 3 % after 100 iterations.

    That is for exact denoisers. A network errs most where noise is least, and these errors add up in a chain
    that is long and mixes: with networks, a larger last rho can give better images, at the price of the bias.

    For operators that are not linear, or noise that is not Gaussian, the likelihood step is Wu's, by Langevin
    dynamics, nothing is overrelaxed, and the last rho has to be smaller.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Of both steps together; the denoiser is evaluated twice in each.
    langevin_steps : int
        Of each likelihood step where there is no exact one.
    scale, chunk_size
        See `invgen.solvers.sampling.base.PosteriorSampler`.
    rho_range : pair of numbers, optional
        Last and first rho, in the prior's unit. By default the noise levels that the prior was made for, of
        which the lowest gives way to half of the noise of the data, seen in the image (where the step has a
        bias, a tenth), where that is more.
    """

    iterations: int = 100
    langevin_steps: int = 100
    rho_range: tuple[float, float] | None = None

    general: ClassVar[bool] = True
    counts: ClassVar[dict[str, int]] = {"iterations": 2, "langevin_steps": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho_range is None and format_of(self.prior).noise_range is None:
            raise CapabilityError(
                f"{type(self.prior).__name__} has no range of noise levels: give rho_range=(last, first), in "
                "the unit of its images."
            )
        if self.rho_range is not None and not 0 < self.rho_range[0] < self.rho_range[1] < math.inf:
            raise ParameterError(f"rho_range is a pair, low to high; got {self.rho_range}.")

    def prepare(self, problem: Problem) -> Callable[..., Tensor]:
        """The likelihood step."""
        if problem.is_least_squares:
            return UnbiasedStep(problem)
        return LangevinStep(problem, self.langevin_steps)

    def steps(self, problem: Problem, data_step: Callable[..., Tensor], state: State) -> Iterator[State]:
        """Draw in turns while rho falls."""
        draws, x, z = self.draws(problem, state), state.x, state.get("z", lambda: state.x)
        schedule, plain = self.schedule(problem), _PLAIN * self.iterations
        for k in range(state.get("k", lambda: 0), self.iterations):
            rho = schedule[k]
            if k > plain and rho is schedule[k - 1]:
                z = data_step(x, rho, draws, z, _OVER)
                x = self.prior_step(problem, z, rho, draws, *((x, _OVER) if k < self._until_anew else ()))
            else:
                z = data_step(x, rho, draws)
                x = self.prior_step(problem, z, rho, draws)
            yield State(x=x, z=z, k=k + 1, draws=draws.state)

    def prior_step(
        self,
        problem: Problem,
        z: Tensor,
        rho: Tensor,
        draws: Draws,
        before: Tensor | None = None,
        over: float = 0.0,
    ) -> Tensor:
        """The image that z is a copy of, with noise rho, of the batch's shape.

        With the image `before`, of this rho as well, overrelaxed.
        """
        mean, away = prior_draw(self.denoised, z, rho, draws(z), problem.operator.domain)
        if before is None:
            return mean + away
        return mean + math.sqrt(1 - over**2) * away - over * (before - mean)

    def schedule(self, problem: Problem) -> list[Tensor]:
        """Each iteration's rho, of the batch's shape: the same tensor again where it does not fall."""
        like, exact = problem.zeros().real, problem.is_least_squares
        low, high = self.rho_range or format_of(self.prior).noise_range  # type: ignore[misc]
        last, first = (like.new_full(problem.batch_shape, level) for level in (low, high))
        if self.rho_range is None and isinstance(problem.operator, LinearOperator):
            own = _LAST if exact else _LAST_SPLIT
            last = torch.maximum(last, own / problem.lipschitz().sqrt()).clamp(max=high / 2)
        count = self._until_anew if exact else self.iterations
        levels = min(_LEVELS, count) if exact else count
        ends = first**_POWER, last**_POWER
        falling = [torch.lerp(*ends, k / (levels - 1)) ** (1 / _POWER) for k in range(levels)]
        return [falling[min(k, count - 1) * levels // count] for k in range(self.iterations)]

    @property
    def _until_anew(self) -> int:
        """The number of iterations before the last ones, which draw images anew."""
        return self.iterations - round(_ANEW * self.iterations)
