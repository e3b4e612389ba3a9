"""Diffusion posterior sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver, renoised
from invgen.solvers.state import State

__all__ = ["DPS"]


@dataclass(frozen=True, kw_only=True)
class DPS(DiffusionSolver):
    """Diffusion posterior sampling, Chung, Kim, McCann, Klasky and Ye (2023), algorithm 1.

    Each ancestral step goes down the distance of the data from those of the denoised image D, by a step of
    one length whatever that distance (the paper's zeta / |y - A D|):

        x0 = D - zeta l / steps (1 + sigma^2 / s^2) J.H grad |y - A D| / c

    with D's Jacobian J, the norm l of an image, its standard deviation s times the root of its size, and the
    curvature c^2 of half the squared distance along its gradient, so that zeta has no unit and depends little
    on the number of pixels and levels. The factor of sigma translates the paper's variance preserving x to
    that of here, ``x = x0 + sigma n``. The paper's zeta = 1 for 256x256 colour photographs in 1000 steps is
    4.5 here, if they have a standard deviation of 0.5 and steps go along the gradient of the distance itself,
    as in its code.

    What zeta replaces is the noise level: that of the data does not enter, only how their weights compare. It
    is a guide to images that fit the data, and no sampler of the posterior, not even of a Gaussian one: the
    variance of its samples follows from zeta.

    Operators need not be linear, nor noise Gaussian. For Poisson counts the distance is weighted by the
    inverse of the counts (the paper's eq. 19 and 20); for other noise it is the root of the deviance.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations : int
        Noise levels; the paper has 1000.
    zeta : positive number
        Length of all steps of the guidance together, in norms of an image.
    std : positive number, optional
        Standard deviation of a pixel over all images, in the prior's unit; by default that of the prior's
        `image_format`.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For priors without derivative, or of unknown standard deviation where none is given.
    """

    iterations: int = 300
    zeta: float = 4.5
    std: float | None = None

    general: ClassVar[bool] = True
    memory: ClassVar[int] = 2**18

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.zeta > 0 and (self.std is None or self.std > 0)):
            raise ParameterError(f"DPS needs a positive zeta and std; got {self.zeta} and {self.std}.")
        if self.std is None and format_of(self.prior).std is None:
            raise CapabilityError(
                f"The standard deviation of the images of {type(self.prior).__name__} is not known: give "
                "DPS(..., std=...), that of a pixel in the unit of the prior's images."
            )

    @property
    def _image_std(self) -> float:
        """Standard deviation of a pixel, in the prior's unit."""
        return self.std or cast(float, format_of(self.prior).std)

    def described(self, problem: Problem) -> Problem:
        """With Gaussian noise that weights the data as their own does; its level does not enter."""
        y = problem.measurement
        return Problem(problem.operator, y, problem.likelihood.linearized(y))

    def step(
        self, problem: Problem, prepared: None, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """An ancestral step, and one towards the data."""
        x = state["noisy"]
        denoised, pullback = self.denoised_with_pullback(x, high)
        std = self._image_std
        size = std * math.sqrt(problem.operator.domain.size * (2 if x.is_complex() else 1))
        noisier = math.sqrt((1 + (high / std) ** 2) * (1 + (low / std) ** 2))
        length = self.zeta * size / self.iterations
        x0 = denoised - length * noisier * pullback(_slope(problem, denoised))
        return State(x=x0, noisy=renoised(x0, (x - denoised) / high, high, low, 1.0, draws))


def _slope(problem: Problem, x: Tensor) -> Tensor:
    """Gradient of the root of the misfit, over the root of its square's curvature along it.

    At most of norm one, and of that norm where all of the misfit can be undone in this direction.
    """
    A, noise, space = problem.operator, problem.likelihood, problem.operator.domain
    gradient, misfit = problem.gradient(x), problem.misfit(x)
    steep = space.norm(gradient)
    direction = gradient / space.per_sample(torch.where(steep > 0, steep, 1))
    seen = A.jvp(x, direction)
    curvature = A.range.inner(seen, noise.curvature(A(x), problem.measurement) * seen).real
    bent = (misfit * curvature).sqrt()
    return space.per_sample(torch.where(bent > 0, steep / bent, 0)) * direction
