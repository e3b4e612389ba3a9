"""Regularization by denoising."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch

from invgen.convex.splitting import ratio_of
from invgen.core.errors import ParameterError
from invgen.priors.base import Denoiser
from invgen.problem import Problem
from invgen.solvers.base import State
from invgen.solvers.data_prox import DataProx, with_noise
from invgen.solvers.plug_and_play.base import DenoiserSolver, noise_in_image

__all__ = ["RED"]

#: Of 0.02 to 0.1, the best noise level for blurred and incomplete photographs.
_LEVEL = 0.04


@dataclass(frozen=True)
class RED(DenoiserSolver):
    """Regularization by denoising, Romano, Elad and Milanfar (2017), for normal noise.

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
        See `PnP`.
    iterations, tolerance
        Each batch element stops when the gradient is down to `tolerance` times ``lambda |x|``.

    Raises
    ------
    DivergenceError
        Where the denoiser drives images further and further.
    CapabilityError
        For noise that is not normal, and operators that are not linear.
    """

    prior: Denoiser
    method: str = "fixed-point"
    weight: float = 0.5
    sigma: float | torch.Tensor | str = "auto"
    scale: float | torch.Tensor | str = "auto"
    iterations: int = 100
    tolerance: float = 1e-3

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

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm; each gradient falls out of the next denoised image."""
        solver, known, space = self.resolved(problem), with_noise(problem, self.name), problem.operator.domain
        state, sigma = State.start(x0), cast(torch.Tensor, solver.sigma)
        L = noise_in_image(known) ** -2
        strength = solver._penalty(sigma)
        step = DataProx(known) if self.method == "fixed-point" else None

        def look(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            d = solver.denoised(known, x, sigma)
            return d, known.gradient(x) + space.per_sample(strength) * (x - d)

        x = state.x
        d, slope = (state.variables["denoised"], state.variables["slope"]) if state.variables else look(x)
        while True:
            x = step(d, strength, x) if step else x - slope / space.per_sample(L + strength)
            d, slope = look(x)
            yield State(
                x, optimality=ratio_of(space.norm(slope), strength * space.norm(x)), denoised=d, slope=slope
            )
