"""Preconditioned Langevin dynamics with Metropolis' correction, at one noise level."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from invgen.core.draws import Draws
from invgen.problem import Problem
from invgen.solvers.sampling.likelihood_step import GaussianStep

__all__ = ["AdjustedStep", "Place"]


class Place(NamedTuple):
    """An image with noise, and what is known there.

    Attributes
    ----------
    x : tensor, shape (*batch, *image)
    energy : tensor, shape of the batch
        Minus the logarithm of the density, up to a constant.
    gradient : tensor, shape of x
        Of the energy.
    way : tensor, shape of x
        ``M gradient``, by which the mean of the draw around the denoised image is away.
    denoised : tensor, shape of x
    """

    x: Tensor
    energy: Tensor
    gradient: Tensor
    way: Tensor
    denoised: Tensor


class AdjustedStep:
    """Proposals of `PreconditionedLangevin` at the level sigma, and the ratio that keeps their target.

    The energy U is that of ``p_sigma(x) p(y | x)``; its gradient is, by Tweedie's formula,

        g(x) = A.H W (A x - y) + (x - D(x, sigma)) / sigma^2.

    With the preconditioner ``M = (A.H W A + sigma^-2)^-1``, of which M g(x) is what the exact draw around
    D(x, sigma) has its mean away from x, a step

        x' = x - gamma M g(x) + noise of the covariance gamma (2 - gamma) M

    is a proposal, accepted with the probability ``min(1, p(x') q(x | x') / (p(x) q(x' | x)))`` (Hastings
    1970). M is the same at both ends, so that its determinant is not in the ratio, and neither is its
    inverse: with ``d = x' - x``, the logarithm is

        U(x) - U(x') + <g(x) + g(x'), 2 d + gamma (M g(x) - M g(x'))> / (2 (2 - gamma)).

    Where prior and data make U quadratic with the curvature 1 / M, all are accepted, whatever gamma is.

    Parameters
    ----------
    problem : Problem
        With a linear operator and Gaussian noise.
    data_step : GaussianStep
        With systems that are solved exactly.
    denoise, log_prob : callable(x, sigma)
        Of the prior; the density is that of noisy images.
    sigma : positive tensor, shape of the batch
    """

    def __init__(
        self,
        problem: Problem,
        data_step: GaussianStep,
        denoise: Callable[[Tensor, Tensor], Tensor],
        log_prob: Callable[[Tensor, Tensor], Tensor],
        sigma: Tensor,
    ) -> None:
        self._problem, self._data_step, self._sigma = problem, data_step, sigma
        self._denoise, self._log_prob = denoise, log_prob

    def at(self, x: Tensor) -> Place:
        """The place of an image with noise of the level sigma: one evaluation of denoiser and density."""
        x0 = self._denoise(x, self._sigma)
        data, slope = self._problem.value_and_gradient(x)
        gradient = slope + self._problem.operator.domain.per_sample(self._sigma**-2) * (x - x0)
        way = x - self._data_step.mean(x0, self._sigma)
        return Place(x, data - self._log_prob(x, self._sigma), gradient, way, x0)

    def __call__(self, at: Place, gamma: Tensor, draws: Draws) -> tuple[Place, Tensor]:
        """A proposal from a place, and the logarithm of its ratio; `gamma` is of the batch's shape."""
        space = self._problem.operator.domain
        scale, step = (2 / gamma - 1).sqrt(), space.per_sample(gamma)
        centre = at.denoised + space.per_sample(self._sigma * scale) * draws(at.x)
        drawn = self._data_step.around(centre, self._sigma, draws, scale=scale)
        there = self.at(at.x + step * (drawn - at.x))
        span = 2 * (there.x - at.x) + step * (at.way - there.way)
        ways = space.inner(at.gradient + there.gradient, span).real / (2 * (2 - gamma))
        return there, at.energy - there.energy + ways
