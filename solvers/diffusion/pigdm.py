"""Pseudoinverse-guided diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver, renoised
from invgen.solvers.state import State

__all__ = ["PiGDM"]


@dataclass(frozen=True, kw_only=True)
class PiGDM(DiffusionSolver):
    """Pseudoinverse-guided diffusion models, Song, Vahdat, Mardani and Kautz (2023).

    With ``p(x0 | x_t)`` taken for a Gaussian of the variance r^2 around the denoised image D, the data are
    Gaussian around A D with the covariance ``std^2 + r^2 A A.H``, whose gradient guides: with D's Jacobian
    J,

        x0 = D + sigma^2 J.H A.H (std^2 + r^2 A A.H)^-1 (y - A D),
        r^2 = sigma^2 s^2 / (sigma^2 + s^2),

    s being the standard deviation of the images.

    In images ``A.H (std^2 + r^2 A A.H)^-1 (y - A D)`` is the step from D to the minimum of
    ``-log p(y | A x) + |x - D|^2 / (2 r^2)``, over r^2: one solve, for any operator and weights. The guided
    x0 takes D's place in both parts of the step to the next level, as Bayes' rule has it; the paper's
    algorithm weights the gradient by other factors. Steps are of the second order, by the x0 of the level
    before (Lu et al. 2022, DPM-Solver++ (2M), and its stochastic form with eta = 1): of the first, a hundred
    levels leave a tenth of the variance out. Where images are Gaussian and white, with the variance s^2,
    the guidance is exact, and with it the samples but for the steps.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations : int
        Noise levels.
    std : positive number, optional
        Standard deviation of a pixel over all images, in the prior's unit; by default that of the prior's
        `image_format`. Without either it is without bound, r = sigma, which guides less in much noise.
    eta : number from 0 to 1
        Fresh noise at each level, as a fraction of that of ancestral sampling.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For priors without derivative.
    """

    iterations: int = 100
    std: float | None = None
    eta: float = 1.0

    memory: ClassVar[int] = 2**18

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.eta <= 1 and (self.std is None or self.std > 0)):
            raise ParameterError(
                f"PiGDM needs eta from 0 to 1 and a positive std; got {self.eta} and {self.std}."
            )

    def prepare(self, problem: Problem) -> DataProx:
        """The data step."""
        return DataProx(problem, SAMPLER_PRECISION)

    def step(
        self, problem: Problem, data_step: DataProx, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """A step of the second order, by the guided images of this level and of the one before."""
        x = state["noisy"]
        x0 = ahead = self.guided(problem, data_step, x, high)
        above = state.get("above", lambda: None)
        if above is not None and low > 0:
            ahead = x0 + math.log(high / low) / math.log(above / high) / 2 * (x0 - state.x)
        x = renoised(ahead, (x - ahead) / high, high, low, self.eta, draws)
        return State(x=x0, noisy=x, above=high)

    def guided(self, problem: Problem, data_step: DataProx, x: Tensor, sigma: float) -> Tensor:
        """The posterior mean of the image, given the data and the noisy image."""
        denoised, pullback = self.denoised_with_pullback(x, sigma)
        std = self.std or format_of(self.prior).std or math.inf
        ratio = 1 + (sigma / std) ** 2  # sigma^2 over r^2
        rho = x.real.new_full(problem.batch_shape, ratio / sigma**2)
        return denoised + ratio * pullback(data_step.move(denoised, rho))
