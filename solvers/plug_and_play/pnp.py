"""Plug-and-play: a denoiser in the place of a proximal map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch

from invgen.convex.splitting import ratio_of
from invgen.problem import Problem
from invgen.solvers.data_prox import DataProx
from invgen.solvers.plug_and_play.base import DenoiserSolver, noise_in_image
from invgen.solvers.scale import with_noise
from invgen.solvers.state import State

__all__ = ["PnPADMM", "PnPHQS", "PnPPGD"]

#: The first noise level of half-quadratic splitting, a fraction of the scale: Zhang et al. (2021), sec. IV-B.
_FIRST_LEVEL = 49 / 255

#: The level of ADMM: of 0.02, 0.05 and 0.1 the best for blurred and incomplete photographs.
_ADMM_LEVEL = 0.1


@dataclass(frozen=True, kw_only=True)
class PnPHQS(DenoiserSolver):
    """Plug-and-play by half-quadratic splitting, DPIR of Zhang et al. (2021), eqs. 6a and 6b.

    For Gaussian noise and a denoiser D, with a noise level that falls from 49/255 of the scale to `sigma`,
    evenly in its logarithm:

        x_k = argmin -log p(y | A x) + weight / (2 sigma_k^2) |x - z|^2
        z = D(x_k, sigma_k)

    Parameters
    ----------
    prior : Denoiser
    weight : positive number
        Lambda in the paper's eq. 4, 0.23 in its sec. IV-B.
    sigma : positive number, tensor with one for each batch element, or "auto"
        The last noise level of the denoiser, as a fraction of the scale. "auto" is that of the data over
        ``|A|``.
    scale : positive number, tensor with one for each batch element, or "auto"
        What is white in the image, in its unit. "auto" estimates it from a rough reconstruction. A denoiser
        with a value range gets images in which it is the range's upper end.
    iterations : int
        Noise levels.
    tolerance : float
        Each batch element stops when an iteration changes it by this, relative to it.

    Raises
    ------
    CapabilityError
        For noise that is not Gaussian, and operators that are not linear.

    Notes
    -----
    The history's objective is the data term: a denoiser says nothing of what it minimises.
    """

    weight: float = 0.23
    iterations: int = 8

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        return noise_in_image(problem) / scale

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""
        return f"{self._blame} Try {self._milder}"

    def steps(self, problem: Problem, data_step: DataProx, state: State) -> Iterator[State]:
        """Fit the data and denoise in turns, at falling noise levels."""
        space, z = problem.operator.domain, state.x
        last = cast(torch.Tensor, self.sigma)
        first = last.clamp(min=_FIRST_LEVEL)
        for k in range(state.get("k", lambda: 0), self.iterations):
            # the last one where there is a single one
            fraction = k / (self.iterations - 1) if self.iterations > 1 else 1.0
            sigma = first * (last / first) ** fraction
            x = data_step(z, self._penalty(sigma), z)
            z_old, z = z, self.denoised(problem, x, sigma)
            yield State(x=z, optimality=ratio_of(space.norm(z - z_old), space.norm(z)), k=k + 1)


class _OneLevel(DenoiserSolver):
    """What the two methods share whose noise level stays the same."""

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""
        return f"{self._blame} Try PnPHQS with its falling noise level, {self._milder}"


@dataclass(frozen=True, kw_only=True)
class PnPADMM(_OneLevel):
    """Plug-and-play by the alternating direction method of multipliers.

    Venkatakrishnan, Bouman and Wohlberg (2013), eqs. 5 to 7; Ryu et al. (2019), PNP-ADMM. For Gaussian noise
    and a denoiser D:

        x = argmin -log p(y | A x) + weight / (2 sigma^2) |x - (z - u)|^2
        z' = D(x + u, sigma)
        u' = u + x - z'

    It converges where ``2 D - 1`` brings no two images further apart, and under weaker conditions on ``D -
    1`` for data that determine the image (Ryu et al. 2019, theorem 2). With ``D = ProxDenoiser(g)`` it then
    minimises ``-log p(y | A x) + weight g(x)``.

    Parameters
    ----------
    prior : Denoiser
    weight : positive number
        Of the prior against the data.
    sigma : positive number, tensor with one for each batch element, or "auto"
        Noise level of the denoiser, as a fraction of the scale; "auto" is a tenth.
    scale : positive number, tensor with one for each batch element, or "auto"
        See `PnPHQS`.
    iterations, tolerance
        Each batch element stops when an iteration changes it, and x and z differ, by the tolerance, relative
        to it.

    Raises
    ------
    DivergenceError
        Where the denoiser drives images further and further.
    CapabilityError
        For noise that is not Gaussian, and operators that are not linear.
    """

    iterations: int = 50

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scale, _ADMM_LEVEL)

    def steps(self, problem: Problem, data_step: DataProx, state: State) -> Iterator[State]:
        """Fit the data, denoise, and update the multiplier."""
        space, z = problem.operator.domain, state.x
        sigma = cast(torch.Tensor, self.sigma)
        x, u = state.get("near", lambda: z), state.get("u", lambda: torch.zeros_like(z))
        while True:
            x = data_step(z - u, self._penalty(sigma), x)
            z_old, z = z, self.denoised(problem, x + u, sigma)
            u = u + x - z
            moved = torch.maximum(space.norm(z - z_old), space.norm(x - z))
            yield State(x=z, optimality=ratio_of(moved, space.norm(z)), near=x, u=u)


@dataclass(frozen=True, kw_only=True)
class PnPPGD(_OneLevel):
    """Plug-and-play by proximal gradient descent, Ryu et al. (2019), PNP-FBS.

    For Gaussian noise and a denoiser D: ``x' = D(x - grad / L, sigma)``. It converges where D brings no two
    images further apart, and under weaker conditions on ``D - 1`` for data that determine the image (theorem
    1). With ``D = ProxDenoiser(g)`` and "auto" for sigma it then minimises ``-log p(y | A x) + weight g(x)``.

    Parameters
    ----------
    prior : Denoiser
    weight : positive number
        Of the prior against the data; it enters by "auto" for sigma alone.
    sigma : positive number, tensor with one for each batch element, or "auto"
        Noise level of the denoiser, as a fraction of the scale. "auto" is that of the data over ``|A|``,
        times ``sqrt(weight)``.
    scale : positive number, tensor with one for each batch element, or "auto"
        See `PnPHQS`.
    iterations, tolerance
        Each batch element stops when an iteration changes it by the tolerance, relative to it.

    Raises
    ------
    DivergenceError
        Where the denoiser drives images further and further.
    CapabilityError
        For noise that is not Gaussian, and operators that are not linear.
    """

    iterations: int = 200

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        return noise_in_image(problem) / scale * self.weight**0.5

    def prepare(self, problem: Problem) -> Problem:  # type: ignore[override]
        """The problem with its noise level."""
        return with_noise(problem, self.name)

    def steps(self, problem: Problem, known: Problem, state: State) -> Iterator[State]:
        """A gradient step, denoised."""
        space, x = problem.operator.domain, state.x
        length = space.per_sample(noise_in_image(known).square())
        while True:
            x_old = x
            x = self.denoised(known, x - length * known.gradient(x), cast(torch.Tensor, self.sigma))
            yield State(x=x, optimality=ratio_of(space.norm(x - x_old), space.norm(x)))
