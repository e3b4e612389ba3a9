"""Decoupled annealing posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.priors.diffusion.reverse import heun, noise_levels
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.sampling.likelihood_step import LikelihoodStep, likelihood_step
from invgen.solvers.state import State

__all__ = ["DAPS"]


@dataclass(frozen=True, kw_only=True)
class DAPS(DiffusionSolver):
    """Decoupled annealing posterior sampling, Zhang et al. (2025), algorithm 1.

    From each noise level the probability flow is followed all the way down to an image, the data correct it,
    and it gets noise of the next level, all of it fresh:

        x0^ = the end of the flow from x_t
        x0 ~ p(y | A x0) N(x0; x0^, r_t^2),     r_t = sigma_t as in the paper
        x_t' = x0 + sigma_t' n

    The second step has the true noise of the data. For linear operators and Gaussian noise it is drawn
    exactly, else by the paper's Langevin dynamics, with Metropolis' correction, and steps from the curvature.

    Its samples are near the posterior only where the data determine much: along the flow images vary as the
    prior does, and the noise r_t comes on top. On Gaussian priors the variance in directions that are not
    measured is three times too large after 100 levels. One step of the flow, ``ode_steps=1``, is the denoised
    image, which varies less, and leaves a fifth too much; of a prior of many modes it is an average of them.
    In MRI at accelerations of four and eight its 90 % intervals covered 92 and 94 %; in CT from 30 views
    99 %, around images worse than those of total variation.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    ode_steps : int
        Of Heun's method down the flow, which evaluates the denoiser ``2 ode_steps - 1`` times.
    langevin_steps : int
        Where the operator is not linear or the noise not Gaussian.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    ode_steps: int = 3
    langevin_steps: int = 100

    general: ClassVar[bool] = True
    counts: ClassVar[dict[str, int]] = {"ode_steps": 1, "langevin_steps": 1}

    def prepare(self, problem: Problem) -> LikelihoodStep:
        """The likelihood step."""
        return likelihood_step(problem, self.langevin_steps)

    def clean(self, x: Tensor, sigma: float) -> Tensor:
        """The end of the probability flow from x."""
        low = self.levels()[-2]
        levels = (
            noise_levels(self.ode_steps, low, sigma) if self.ode_steps > 1 and low < sigma else [sigma, 0.0]
        )
        return heun(self.denoised, x, levels, Draws(()))

    def step(
        self, problem: Problem, data_step: LikelihoodStep, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """An image that fits the data around the end of the flow, and noise of the next level."""
        x = state["noisy"]
        rho = x.real.new_full(problem.batch_shape, high)
        x0 = data_step(self.clean(x, high), rho, draws)
        return State(x=x0, noisy=x0 + low * draws(x0))
