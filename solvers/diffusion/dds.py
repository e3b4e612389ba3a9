"""Decomposed diffusion sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.core.krylov import conjugate_gradients
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver, renoised
from invgen.solvers.state import State

__all__ = ["DDS"]


@dataclass(frozen=True, kw_only=True)
class DDS(DiffusionSolver):
    """Decomposed diffusion sampling, Chung, Lee and Ye (2024), in its form for noisy measurements.

    The data correct the denoised image by a few steps of conjugate gradients, from there, on

        x + gamma / |A|^2 A.H A x = D(x_t, sigma) + gamma / |A|^2 A.H y

    which keeps to the tangent space of the images if that is a Krylov space, as the paper supposes. Of
    measurements of unequal noise each counts by its weight.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    gamma : positive number
        Weight of the data against the denoised image, in the direction that is measured best.
    cg_steps : int
    eta : number from 0 to 1
        Fresh noise at each level, as a fraction of that of ancestral sampling.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    gamma: float = 5.0
    cg_steps: int = 5
    eta: float = 0.85

    counts: ClassVar[dict[str, int]] = {"cg_steps": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.gamma > 0 and 0 <= self.eta <= 1):
            raise ParameterError(f"DDS needs gamma > 0 and eta from 0 to 1; got {self.gamma} and {self.eta}.")

    def step(
        self, problem: Problem, gamma: Tensor, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Denoise, correct, and go on with the noise that the denoiser saw."""
        x = state["noisy"]
        denoised = self.denoised(x, high)
        x0 = self.data_step(problem, gamma, denoised)
        return State(x=x0, noisy=renoised(x0, (x - denoised) / high, high, low, self.eta, draws))

    def prepare(self, problem: Problem) -> Tensor:
        """``gamma / |A|^2``, weighted as the data are, to multiply images."""
        return problem.operator.domain.per_sample(self.gamma / problem.lipschitz())

    def data_step(self, problem: Problem, gamma: Tensor, x0: Tensor) -> Tensor:
        """A few steps of conjugate gradients, around the denoised image."""
        correction = conjugate_gradients(
            lambda v: v + gamma * problem.normal(v),
            -gamma * problem.gradient(x0),
            problem.operator.domain,
            iterations=self.cg_steps,
        )
        return x0 + correction
