"""Pseudoinverse-guided diffusion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.base import State
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver, renoised

__all__ = ["PiGDM"]


@dataclass(frozen=True)
class PiGDM(DiffusionSolver):
    """Pseudoinverse-guided diffusion models, Song, Vahdat, Mardani and Kautz (2023).

    With ``p(x0 | x_t)`` taken for a normal density of the variance r^2 around the denoised image D, the data
    are normal around A D with the covariance ``std^2 + r^2 A A.H``, whose gradient guides: with D's Jacobian
    J,

        x0 = D + sigma^2 J.H A.H (std^2 + r^2 A A.H)^-1 (y - A D),
        r^2 = sigma^2 spread^2 / (sigma^2 + spread^2).

    In images ``A.H (std^2 + r^2 A A.H)^-1 (y - A D)`` is the step from D to the minimum of
    ``-log p(y | A x) + |x - D|^2 / (2 r^2)``, over r^2: one solve, for any operator and weights. The guided
    x0 takes D's place in both parts of the step to the next level, as Bayes' rule has it; the paper's
    algorithm weighs the gradient by other factors. Steps are of the second order, by the x0 of the level
    before (Lu et al. 2022, DPM-Solver++ (2M), and its stochastic form with eta = 1): of the first, a hundred
    levels leave a tenth of the variance out. Where images are normal and white, with the variance spread^2,
    the guidance is exact, and with it the samples but for the steps.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations : int
        Noise levels.
    spread : positive number, optional
        Standard deviation of a pixel over all images, in the prior's unit; by default what the prior tells
        as that of its images. Without either it is without bound, r = sigma, which guides less in much noise.
    eta : number from 0 to 1
        How much of the noise is fresh at each level.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For priors without derivative.
    """

    iterations: int = 100
    spread: float | None = None
    eta: float = 1.0

    memory: ClassVar[int] = 2**18

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.eta <= 1 and (self.spread is None or self.spread > 0)):
            raise ParameterError(
                f"PiGDM needs eta from 0 to 1 and a positive spread; got {self.eta} and {self.spread}."
            )

    def walk(self, problem: Problem, state: State) -> Iterator[State]:
        """Come down the noise levels, each step with the guided image of the level before."""
        levels, draws = self.levels(), self.draws(problem, state)
        data_step = DataProx(problem, SAMPLER_PRECISION)
        x, before = state.get("noisy", None), state.get("before", None)
        if x is None:
            x = state.x + levels[0] * draws(state.x)
        for k in range(state.get("k", 0), self.iterations):
            high, low = levels[k], levels[k + 1]
            x0 = ahead = self.guided(problem, data_step, x, high)
            if before is not None and low > 0:
                ahead = x0 + math.log(high / low) / math.log(levels[k - 1] / high) / 2 * (x0 - before)
            x = renoised(ahead, (x - ahead) / high, high, low, self.eta, draws)
            before = x0
            yield State(x0, noisy=x, before=before, k=k + 1, draws=draws.state)

    def guided(self, problem: Problem, data_step: DataProx, x: Tensor, sigma: float) -> Tensor:
        """The posterior mean of the image, as the data and the noisy image tell it."""
        denoised, pullback = self.denoised_with_pullback(x, sigma)
        spread = self.spread or format_of(self.prior).std or math.inf
        ratio = 1 + (sigma / spread) ** 2  # sigma^2 over r^2
        rho = x.real.new_full(problem.batch_shape, ratio / sigma**2)
        return denoised + ratio * pullback(data_step.move(denoised, rho))
