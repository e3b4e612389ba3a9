"""Denoising diffusion restoration models."""

from __future__ import annotations

from dataclasses import dataclass

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.diffusion.spectral import MeasuredSpectrum, SpectralSolver
from invgen.solvers.state import State

__all__ = ["DDRM"]


@dataclass(frozen=True, kw_only=True)
class DDRM(SpectralSolver):
    """Denoising diffusion restoration models, Kawar, Elad, Ermon and Song (2022), sec. 3.2.

    Along each singular vector v of the operator, with singular value s, the next x of noise sigma follows
    from the denoised image x0 = D(x_t) and from the measured coefficient, y' = u.H y / s:

        x0 + sigma (sqrt(1 - eta^2) (x_t - x0) / sigma_t + eta n)        s = 0
        x0 + sigma (sqrt(1 - eta^2) (y' - x0) / (std / s) + eta n)       sigma < std / s
        (1 - eta_b) x0 + eta_b y' + sqrt(sigma^2 - eta_b^2 std^2 / s^2) n    else

    The paper's terms are these already (variance exploding). It starts with noise around a rough image, which
    at the highest level is of no consequence, where the paper takes the data.

    The same fraction of fresh noise at each level, however near the next, leaves variance out: in the null
    space of white Gaussian images 0.76 of it is left with eta = 0.85 and many levels, half with eta = 1. And
    where sigma is below std / s all samples take the direction of one y', so that they gather around it, the
    more so the more levels: the paper has 20, the default here.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    eta : number from 0 to 1
        Fresh noise at each level, as a fraction of the standard deviation of all.
    eta_b : number from 0 to 1
        Weight of the data where they are less noisy than the image.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For operators without singular value decomposition, and noise of unequal levels.
    """

    eta_b: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta_b <= 1:
            raise ParameterError(f"DDRM needs eta_b from 0 to 1; got {self.eta_b}.")

    def step(
        self, problem: Problem, data: MeasuredSpectrum, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Denoise, and go on with noise that the data share."""
        x = state["noisy"]
        x0 = self.denoised(x, high)
        return State(x=x0, noisy=self.renoised_by_data(data, x0, x, high, low, self.eta_b, draws))
