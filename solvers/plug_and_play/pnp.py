"""Plug-and-play: a denoiser in the place of a proximal map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch

from invgen.convex.splitting import ratio_of
from invgen.core.errors import ParameterError
from invgen.priors.base import Denoiser
from invgen.problem import Problem
from invgen.solvers.base import State
from invgen.solvers.data_prox import DataProx, with_noise
from invgen.solvers.plug_and_play.base import DenoiserSolver, noise_in_image

__all__ = ["PnP"]

#: Of each method, the iterations and the weight of the prior that it takes by default.
_DEFAULTS = {"hqs": (8, 0.23), "admm": (50, 1.0), "pgd": (200, 1.0)}

#: The first noise level of half-quadratic splitting, a fraction of the scale: Zhang et al. (2021), sec. IV-B.
_FIRST_LEVEL = 49 / 255

#: The level of ADMM: of 0.02, 0.05 and 0.1 the best for blurred and incomplete photographs.
_ADMM_LEVEL = 0.1


@dataclass(frozen=True)
class PnP(DenoiserSolver):
    """Plug-and-play with a denoiser D, Venkatakrishnan, Bouman and Wohlberg (2013), for normal noise.

    Three methods. "hqs", half-quadratic splitting with a falling noise level, eqs. 6a and 6b of Zhang et al.
    (2021), DPIR:

        x_k = argmin -log p(y | A x) + weight / (2 sigma_k^2) |x - z|^2
        z = D(x_k, sigma_k)

    with sigma_k falling from 49/255 of the scale to `sigma`, evenly in its logarithm. "admm", the alternating
    direction method of multipliers of the first paper (its eqs. 5 to 7), and "pgd", the proximal gradient
    method (Ryu et al. 2019, eqs. PNP-ADMM and PNP-FBS), have one noise level:

        x = argmin -log p(y | A x) + weight / (2 sigma^2) |x - (z - u)|^2,   z' = D(x + u, sigma),
        u' = u + x - z'
        x' = D(x - grad / L, sigma)

    Parameters
    ----------
    prior : Denoiser
    method : {"hqs", "admm", "pgd"}
        The last two converge where D, or ``2 D - 1`` for "admm", brings no two images further apart; under
        weaker conditions on ``D - 1`` for data that determine the image (Ryu et al. 2019, theorems 1 and 2).
        With ``D = ProxDenoiser(g)`` they then minimise ``-log p(y | A x) + weight g(x)``.
    weight : positive number, optional
        Of the prior against the data, lambda in DPIR's eq. 4: 0.23 for "hqs" (its sec. IV-B), else one. "pgd"
        knows it by its "auto" for sigma alone.
    sigma : positive number, tensor with one for each batch element, or "auto"
        Noise level of the denoiser, the last one for "hqs", as a fraction of the scale. "auto" is that of the
        data over ``|A|``; for "admm" a tenth; for "pgd" the former times ``sqrt(weight)``, as its step asks.
    scale : positive number, tensor with one for each batch element, or "auto"
        What is white in the image, in its unit. "auto" finds it from a rough reconstruction. A denoiser with
        a value range gets images in which it is the range's upper end.
    iterations : int, optional
        8 for "hqs"; at most 50 for "admm" and 200 for "pgd".
    tolerance : float
        Each batch element stops when an iteration moves it, and what it is split into lie apart, by this,
        relative to it.

    Raises
    ------
    DivergenceError
        Where the denoiser drives images further and further.
    CapabilityError
        For noise that is not normal, and operators that are not linear.

    Notes
    -----
    The history's objective is the data term: a denoiser says nothing of what it minimises.
    """

    prior: Denoiser
    method: str = "hqs"
    weight: float | None = None
    sigma: float | torch.Tensor | str = "auto"
    scale: float | torch.Tensor | str = "auto"
    iterations: int = cast(Any, None)
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if self.method not in _DEFAULTS:
            raise ParameterError(f"method is one of {', '.join(_DEFAULTS)}; got {self.method!r}.")
        iterations, weight = _DEFAULTS[self.method]
        for name, value in (("iterations", iterations), ("weight", weight)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""
        falling = "" if self.method == "hqs" else "method='hqs' with its falling noise level, "
        return f"{self._blame} Try {falling}{self._milder}"

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        if self.method == "admm":
            return torch.full_like(scale, _ADMM_LEVEL)
        level = noise_in_image(problem) / scale
        return level if self.method == "hqs" else level * cast(float, self.weight) ** 0.5

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the chosen method."""
        solver, known, state = self.resolved(problem), with_noise(problem, self.name), State.start(x0)
        method = {"hqs": solver._splitting, "admm": solver._multipliers, "pgd": solver._gradients}[
            self.method
        ]
        return method(known, state)

    def _splitting(self, problem: Problem, state: State) -> Iterator[State]:
        space, step, z = problem.operator.domain, DataProx(problem), state.x
        last = cast(torch.Tensor, self.sigma)
        first = last.clamp(min=_FIRST_LEVEL)
        for k in range(state.get("k", 0), self.iterations):
            # the last one where there is a single one
            fraction = k / (self.iterations - 1) if self.iterations > 1 else 1.0
            sigma = first * (last / first) ** fraction
            x = step(z, self._penalty(sigma), z)
            z_old, z = z, self.denoised(problem, x, sigma)
            yield State(z, optimality=ratio_of(space.norm(z - z_old), space.norm(z)), k=k + 1)

    def _multipliers(self, problem: Problem, state: State) -> Iterator[State]:
        space, step, z = problem.operator.domain, DataProx(problem), state.x
        sigma = cast(torch.Tensor, self.sigma)
        x, u = state.get("near", z), state.get("u", torch.zeros_like(z))
        while True:
            x = step(z - u, self._penalty(sigma), x)
            z_old, z = z, self.denoised(problem, x + u, sigma)
            u = u + x - z
            moved = torch.maximum(space.norm(z - z_old), space.norm(x - z))
            yield State(z, optimality=ratio_of(moved, space.norm(z)), near=x, u=u)

    def _gradients(self, problem: Problem, state: State) -> Iterator[State]:
        space, x = problem.operator.domain, state.x
        length = space.per_sample(noise_in_image(problem).square())
        while True:
            x_old = x
            x = self.denoised(problem, x - length * problem.gradient(x), cast(torch.Tensor, self.sigma))
            yield State(x, optimality=ratio_of(space.norm(x - x_old), space.norm(x)))
