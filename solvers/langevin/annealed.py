"""Annealed Langevin dynamics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.diffusion.reverse import geometric_levels
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.state import State

__all__ = ["AnnealedLangevin", "data_pull"]


@dataclass(frozen=True, kw_only=True)
class AnnealedLangevin(DiffusionSolver):
    """Annealed Langevin dynamics for posteriors, Jalal et al. (2021), "Robust compressed sensing MRI".

    At each of the falling noise levels, some steps of

        x + eta (score(x, sigma) + A.H (std^2 + sigma^2 A A.H)^-1 (y - A x)) + sqrt(2 eta) z

    towards ``p_sigma(x) p(y | x)``, the data being those of a noisy image: where images have noise of the
    level sigma, measurements have that of the covariance ``std^2 + sigma^2 A A.H``. The paper divides by a
    number in its place, ``std^2 + gamma^2`` with a gamma that falls as sigma does, which is the same where
    ``A A.H = 1`` and gamma is sigma; measurements of unequal noise have their own in place of ``std^2``. With
    one number for all directions, those of a small singular value would come late, by its square.

    Both pulls are then those of a denoiser. With the denoiser D, and the proximal map of the data term
    ``P(x) = argmin_z -log p(y | A z) + |z - x|^2 / (2 sigma^2)``,

        x + eta / sigma^2 (D(x, sigma) + P(x) - 2 x) + sqrt(2 eta) z

    is the same step, and either's curvature is at most ``1 / sigma^2``: for any prior, operator and noise,
    steps of ``eta < sigma^2`` are stable.

    Each level is the last one times the same factor. With
    ``a = step_size * langevin_steps * iterations / log(highest / lowest)``, the variance of Gaussians
    is too large by about one part in a, and the mean off by some parts in a of their standard deviation. The
    lowest level adds its own square to the variance: it should be well below the smallest one that matters.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    langevin_steps : int
        At each level, with an evaluation of the network for each.
    step_size : number between 0 and 1
        ``eta / sigma^2``. With one half, noise in directions in which neither prior nor data leave room is
        that which the denoiser expects.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    iterations: int = 100
    langevin_steps: int = 3
    step_size: float = 0.5

    counts: ClassVar[dict[str, int]] = {"langevin_steps": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.step_size < 1:
            raise ParameterError(
                f"step_size is a number from 0 to 1, where steps become unstable; got {self.step_size}."
            )

    def levels(self) -> list[float]:
        """The noise levels, from the highest on by one factor, and zero."""
        return geometric_levels(self.iterations, *self.ends())

    def step(
        self, problem: Problem, prox: DataProx, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Langevin steps at one level; what is seen is the image without the noise of that level."""
        x = state["noisy"]
        for _ in range(self.langevin_steps):
            denoised = self.denoised(x, high)
            drift = denoised - x + data_pull(prox, x, high)
            x = x + self.step_size * drift + high * math.sqrt(2 * self.step_size) * draws(x)
        return State(x=denoised, noisy=x)

    def prepare(self, problem: Problem) -> DataProx:
        """The proximal map of the data term."""
        return DataProx(problem, SAMPLER_PRECISION)


def data_pull(prox: DataProx, x: Tensor, sigma: float) -> Tensor:
    """``P(x) - x``, what the data move an image by that has noise of the level sigma.

    ``sigma^2 A.H (std^2 + sigma^2 A A.H)^-1 (y - A x)``, by the proximal map of the data term.
    """
    return prox.move(x, x.real.new_full(prox.batch_shape, sigma**-2))
