"""The denoising diffusion null-space model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from invgen.core.draws import Draws
from invgen.problem import Problem
from invgen.solvers.diffusion.spectral import MeasuredSpectrum, SpectralSolver
from invgen.solvers.state import State

__all__ = ["DDNM"]


@dataclass(frozen=True, kw_only=True)
class DDNM(SpectralSolver):
    """The denoising diffusion null-space model for noisy data (DDNM+), Wang, Yu and Zhang (2023).

    The data replace the component of the denoised image in the range of A.H, which they measure, and leave
    the null space to the prior (eq. 17),

        x0 = D(x_t) - Sigma A^+ (A D(x_t) - y),

    Sigma being the identity where the data's noise on a singular vector, std / s, is below the next level
    sigma, else ``sqrt(1 - eta^2) sigma s / std``; noise is added such that its variance with that of the
    data is sigma^2 (eq. 51, of any A by its singular value decomposition). One pass is DDRM with
    ``eta_b = 1``. What is its own is time travel (sec. 3.3, of length one): each level is passed several
    times, going back by fresh noise, which lets the null space agree with the data.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    eta : number from 0 to 1
        Fresh noise at each level, as a fraction of the standard deviation of all.
    passes : int
        Number of passes of each level, with an evaluation of the network each time.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For operators without singular value decomposition, and noise of unequal levels.
    """

    passes: int = 1

    counts: ClassVar[dict[str, int]] = {"passes": 1}

    def step(
        self, problem: Problem, data: MeasuredSpectrum, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Down to the next level, and back again before each further pass."""
        x = state["noisy"]
        for left in reversed(range(self.passes)):
            x0 = self.denoised(x, high)
            x_low = self.renoised_by_data(data, x0, x, high, low, 1.0, draws)
            if left:
                x = x_low + math.sqrt(high**2 - low**2) * draws(x)
        return State(x=x0, noisy=x_low)
