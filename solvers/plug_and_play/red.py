"""Regularization by denoising."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch

from invgen.convex.splitting import ratio_of
from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.data_prox import DataProx
from invgen.solvers.plug_and_play.base import DenoiserSolver, noise_in_image
from invgen.solvers.scale import with_noise
from invgen.solvers.state import State

__all__ = ["RED"]

#: Of 0.02 to 0.1, the best noise level for blurred and incomplete photographs.
_LEVEL = 0.04


@dataclass(frozen=True, kw_only=True)
class RED(DenoiserSolver):
    """Regularization by denoising, Romano, Elad and Milanfar (2017), for Gaussian noise.

    Finds the image at which ``grad f(x) + lambda (x - D(x)) = 0`` for the data term f and a denoiser D: for
    a linear and symmetric D the minimiser of ``f(x) + lambda / 2 x.H (x - D x)``; for others it minimises
    nothing in particular, Reehorst and Schniter (2019), theorem 1, and is an equilibrium nevertheless.

        "fixed-point":  (A.H W A + lambda) x' = A.H W y + lambda D(x)      (eq. 37)
        "gradient":     x' = x - (grad f(x) + lambda (x - D(x))) / (L + lambda)      (eq. 35)

    Parameters
    ----------
    prior : Denoiser
    method : {"fixed-point", "gradient"}
        Both end at the same image; each step of the first solves a system, of the second applies A once.
    weight : positive number
        ``lambda sigma^2``, sigma in the image's unit; in the paper's experiments on deblurring about 0.2.
    sigma : positive number, tensor with one for each batch element, or "auto"
        Noise level of the denoiser, as a fraction of the scale; "auto" is 0.04.
    scale : positive number, tensor with one for each batch element, or "auto"
        See `PnPHQS`.
    iterations, tolerance
        Each batch element stops when the gradient is down to `tolerance` times ``lambda |x|``.

    Raises
    ------
    DivergenceError
        Where the denoiser drives images further and further.
    CapabilityError
        For noise that is not Gaussian, and operators that are not linear.
    """

    method: str = "fixed-point"
    weight: float = 0.5
    iterations: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("fixed-point", "gradient"):
            raise ParameterError(f"method is 'fixed-point' or 'gradient'; got {self.method!r}.")

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""
        return f"{self._blame} Try a smaller weight, {self._milder}"

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scale, _LEVEL)

    def prepare(self, problem: Problem) -> tuple[Problem, DataProx | None]:  # type: ignore[override]
        """The problem with its noise level, and the data step of the fixed-point iteration."""
        known = with_noise(problem, self.name)
        return known, DataProx(known) if self.method == "fixed-point" else None

    def steps(
        self, problem: Problem, prepared: tuple[Problem, DataProx | None], state: State
    ) -> Iterator[State]:
        """Yield the iterates of the algorithm; each gradient falls out of the next denoised image."""
        (known, data_step), space, x = prepared, problem.operator.domain, state.x
        sigma = cast(torch.Tensor, self.sigma)
        L, strength = noise_in_image(known) ** -2, self._penalty(sigma)

        def gradient(x: torch.Tensor, denoised: torch.Tensor) -> torch.Tensor:
            return known.gradient(x) + space.per_sample(strength) * (x - denoised)

        d = state.get("denoised", lambda: self.denoised(known, x, sigma))
        slope = state.get("slope", lambda: gradient(x, d))
        while True:
            x = data_step(d, strength, x) if data_step else x - slope / space.per_sample(L + strength)
            d = self.denoised(known, x, sigma)
            slope = gradient(x, d)
            yield State(
                x=x, optimality=ratio_of(space.norm(slope), strength * space.norm(x)), denoised=d, slope=slope
            )
