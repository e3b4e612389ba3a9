"""Draws from the likelihood times a Gaussian: the data's half of the samplers that split the two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from invgen.core.draws import Draws
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.point import Point
from invgen.solvers.sampling.curvature import check_curvature, largest_curvature
from invgen.solvers.sampling.metropolis import adapted, langevin, metropolis

__all__ = ["GaussianStep", "LangevinStep", "LikelihoodStep", "likelihood_step"]

#: Draw an image from ``p(y | A x) N(x; z, rho^2)``, given z, rho of the batch's shape, and random numbers.
LikelihoodStep = Callable[[Tensor, Tensor, Draws], Tensor]


class GaussianStep:
    """Exact draws from ``p(y | A x) N(x; z, rho^2)`` for a linear operator and Gaussian noise.

    Perturb the data and the centre by noise of their own, and find the maximum (Papandreou and Yuille 2010;
    Orieux, Feron and Giovannelli 2012, who call it perturbation-optimization): with ``e`` noise like that of
    the measurement and n standard normal,

        (A.H W A + 1 / rho^2) x = A.H W (y + e) + (z + rho n) / rho^2

    has as its solution the mean of that density plus noise of its covariance, ``(A.H W A + 1 / rho^2)^-1``.
    For complex images that is the covariance of the real and of the imaginary part. A dead pixel has
    weight zero.

    Parameters
    ----------
    problem : Problem
        With Gaussian noise; its first batch axis counts the samples.
    exact : bool
        Whether systems are solved to a hundred-thousandth, for those who compute with the density of a draw.
    """

    def __init__(self, problem: Problem, exact: bool = False) -> None:
        self._operator, self._noise = problem.linear_operator, problem.likelihood
        self._measurement = problem.measurement
        self._step = DataProx(problem, None if exact else SAMPLER_PRECISION)

    def __call__(self, z: Tensor, rho: Tensor, draws: Draws) -> Tensor:
        """One image for each z, with `rho` of the batch's shape."""
        width = self._operator.domain.per_sample(rho)
        return self.around(z + width * draws(z), rho, draws, near=z)

    def mean(self, z: Tensor, rho: Tensor) -> Tensor:
        """Of the density, for each z."""
        return self._step(z, rho**-2)

    def around(
        self,
        centre: Tensor,
        rho: Tensor,
        draws: Draws,
        *,
        scale: float | Tensor = 1.0,
        near: Tensor | None = None,
    ) -> Tensor:
        """The maximum for a perturbed centre, and data with noise of their own times `scale`.

        `scale` is a number, or of the batch's shape. Conjugate gradients start at `near`, by default the
        centre.
        """
        space = self._operator.range
        e = space.per_sample(scale) * self._noise.color(draws(self._measurement, len(space.shape)))
        return centre + self._step.move(centre, rho**-2, near, e)


class LangevinStep:
    """Draws from ``p(y | A(x)) N(x; z, rho^2)`` by Metropolis-adjusted Langevin dynamics from z.

    Roberts and Tweedie (1996), sec. 1.4.2: a step of Langevin dynamics is a proposal, which is accepted with
    the probability that keeps the density, so that steps that are too long stop the chain and do not throw it
    out. For operators that are not linear, or noise that is not Gaussian. The first step is the inverse of
    the largest curvature at z, that of ``J.H w J + 1 / rho^2`` with the operator's Jacobian J and the noise's
    curvature w; what is accepted in the first half of the chain adapts it.

    Parameters
    ----------
    problem : Problem
    steps : int

    Raises
    ------
    CapabilityError
        For noise of unbounded curvature, for which no step is small enough.
    """

    def __init__(self, problem: Problem, steps: int) -> None:
        check_curvature(problem)
        self._problem, self._steps = problem, steps

    def __call__(self, z: Tensor, rho: Tensor, draws: Draws) -> Tensor:
        """One image for each z, with `rho` of the batch's shape."""
        space, pull = self._problem.operator.domain, rho**-2
        density = partial(self._density, z, pull)
        at, length = density(z), 1 / (largest_curvature(self._problem, z) + pull)
        for k in range(self._steps):
            width = space.per_sample((2 * length).sqrt())
            proposal = langevin(density, at, width, draws(at.x), space)
            at, accepted, _ = metropolis(at, *proposal, draws)
            if k < self._steps // 2:  # steps that follow the chain would move what it converges to
                length = adapted(length, accepted)
        return at.x

    def _density(self, z: Tensor, pull: Tensor, x: Tensor) -> Point:
        """Minus the logarithm of the density at x, and its gradient."""
        problem, space = self._problem, self._problem.operator.domain
        away = x - z
        penalty = pull * space.norm(away).square() / 2
        gradient = problem.gradient(x) + space.per_sample(pull) * away
        return Point(x, problem.negative_log_likelihood(x), penalty, gradient, x)


def likelihood_step(problem: Problem, langevin_steps: int) -> LikelihoodStep:
    """The exact step where there is one, else Langevin dynamics of that many steps."""
    if problem.is_least_squares:
        return GaussianStep(problem)
    return LangevinStep(problem, langevin_steps)
