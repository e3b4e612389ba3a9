"""Diffusion posterior sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian, Poisson
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver, renoised

__all__ = ["DPS"]


@dataclass(frozen=True)
class DPS(DiffusionSolver):
    """Diffusion posterior sampling, Chung, Kim, McCann, Klasky and Ye (2023), algorithm 1.

    Each ancestral step goes down the distance of the data from those of the denoised image D, by a step of
    one length whatever that distance (the paper's zeta / |y - A D|):

        x0 = D - zeta l / steps (1 + sigma^2 / spread^2) J.H grad |y - A D| / c

    with D's Jacobian J, the norm l of an image, spread times the root of its size, and the curvature c^2 of
    half the squared distance along its gradient, so that zeta has no unit and depends little on the number of
    pixels and levels. The factor of sigma translates the paper's variance preserving x to that of here,
    ``x = x0 + sigma n``. The paper's zeta = 1 for 256x256 colour photographs in 1000 steps is 4.5 here, if
    they have a spread of 0.5 and steps go along the gradient of the distance itself, as in its code.

    What zeta replaces is the noise level: that of the data does not enter, only how their weights compare. It
    is a guide to images that fit the data, and no sampler of the posterior, not even of a normal one: samples
    vary as zeta has it.

    Operators need not be linear, nor noise normal. For Poisson counts the distance is weighed by the inverse
    of the counts (the paper's eq. 19 and 20); for other noise it is the root of the deviance.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations : int
        Noise levels; the paper has 1000.
    zeta : positive number
        Length of all steps of the guidance together, in norms of an image.
    spread : positive number, optional
        Standard deviation of a pixel over all images, in the prior's unit; by default what the prior tells
        as that of its images.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For priors without derivative, or that do not tell their spread where it is not given.
    """

    iterations: int = 300
    zeta: float = 4.5
    spread: float | None = None

    general: ClassVar[bool] = True
    memory: ClassVar[int] = 2**18

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.zeta > 0 and (self.spread is None or self.spread > 0)):
            raise ParameterError(f"DPS needs a positive zeta and spread; got {self.zeta} and {self.spread}.")
        if self.spread is None and format_of(self.prior).std is None:
            raise CapabilityError(
                f"{type(self.prior).__name__} does not tell how far its images spread: give DPS(..., "
                "spread=...), the standard deviation of a pixel in the unit of the prior's images."
            )

    def _described(self, problem: Problem) -> Problem:
        noise, y = problem.noise, problem.measurement
        if noise is None:  # its level does not enter
            return Problem(problem.operator, y, Gaussian(1.0))
        if isinstance(noise, Poisson):
            return Problem(problem.operator, y, Gaussian((noise.gain * y.clamp(min=noise.gain)).sqrt()))
        return problem

    def initial(self, problem: Problem) -> Tensor:
        """A rough image, of counts too: as normal data they have one."""
        return super().initial(self._described(problem))

    def step(
        self, problem: Problem, x: Tensor, high: float, low: float, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """An ancestral step, and one towards the data."""
        denoised, pullback = self.denoised_with_pullback(x, high)
        spread = self.spread or format_of(self.prior).std
        assert spread is not None
        size = spread * math.sqrt(problem.operator.domain.size * (2 if x.is_complex() else 1))
        noisier = math.sqrt((1 + (high / spread) ** 2) * (1 + (low / spread) ** 2))
        length = self.zeta * size / self.iterations
        x0 = denoised - length * noisier * pullback(_slope(problem, denoised))
        return x0, renoised(x0, (x - denoised) / high, high, low, 1.0, draws)


def _slope(problem: Problem, x: Tensor) -> Tensor:
    """Gradient of the root of the misfit, over the root of its square's curvature along it.

    At most of norm one, and of that norm where all of the misfit can be undone in this direction.
    """
    A, noise, space = problem.operator, problem.noise, problem.operator.domain
    assert noise is not None
    gradient, misfit = problem.gradient(x), problem.misfit(x)
    steep = space.norm(gradient)
    direction = gradient / space.per_sample(torch.where(steep > 0, steep, 1))
    seen = A.jvp(x, direction)
    curvature = A.range.inner(seen, noise.curvature(A(x), problem.measurement) * seen).real
    bent = (misfit * curvature).sqrt()
    return space.per_sample(torch.where(bent > 0, steep / bent, 0)) * direction
