"""The data's half of split Gibbs sampling, without the bias of a split."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx

__all__ = ["UnbiasedStep"]

#: rho^2 in units of 1 / L, up to which nothing is split: at one the covariance of the step is singular.
_LIMIT = 0.5

#: The least part of rho^2 that is split: it keeps the system that is solved positive definite.
_REST = 1e-3

#: ``sqrt(1 - t)`` for t from 0 to `_LIMIT` in Chebyshev polynomials, squared to 2e-4.
_ROOT = np.polynomial.Chebyshev.interpolate(lambda u: np.sqrt(1 - _LIMIT * (1 + u) / 2), 3).coef


class UnbiasedStep:
    """Draws z given an image x, such that x given z is of the density ``p(x) N(x; z, rho^2)``.

    Let f be minus the logarithm of a Gaussian likelihood, with the matrix ``H = A.H W A`` and its largest
    eigenvalue L. Where ``rho^2 L <= 1``, and with

        z ~ N(x - rho^2 grad f(x), rho^2 - rho^4 H)        given x of the posterior,

    the squares of x in f and in this density add up to those of ``N(x; z, rho^2)``, whatever H is: a Gibbs
    sampler that draws x from ``p(x) N(x; z, rho^2)`` in turn keeps the posterior exactly. Above, f gives
    way to that of data with further noise of the level kappa in the image,

        H / (1 + kappa^2 H)    for H,    kappa^2 = rho^2 - 1 / (2 L), at least a thousandth of rho^2,

    for which the same holds (that least part adds 0.05 % to variances). With kappa = rho it is the step of
    Vono, Dobigeon and Chainais (2019) and of plug-and-play diffusion models, who never do without. Then, with
    ``delta = rho^2 - kappa^2``,

        z = x + rho (1 + kappa^2 H)^-1 (-rho grad f(x) + (1 - delta H)^(1/2) (e' + kappa A.H W e)),

    where e is noise of the data and e' standard normal. The square root is a polynomial of third degree.

    Parameters
    ----------
    problem : Problem
        With a linear operator and Gaussian noise.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem, self._space = problem, problem.operator.domain
        self._longest = _LIMIT / problem.lipschitz()
        self._prox = DataProx(problem, SAMPLER_PRECISION)

    def __call__(
        self,
        x: Tensor,
        rho: Tensor,
        draws: Draws,
        before: Tensor | None = None,
        over: float = 0.0,
        *,
        data: float | Tensor = 1.0,
        image: float | Tensor = 1.0,
    ) -> Tensor:
        """One z for each image, with `rho` of the batch's shape.

        With the z `before`, of this rho as well, overrelaxed: see `invgen.solvers.SplitGibbs`. The numbers
        `data` and `image`, or tensors of the batch's shape, are factors of the noise e and e'.
        """
        problem, per_sample = self._problem, self._space.per_sample
        variance = (rho**2 - self._longest).maximum(_REST * rho**2)
        kappa, ratio = per_sample(variance.sqrt()), per_sample(rho / variance.sqrt())
        e = problem.likelihood.color(draws(problem.measurement, len(problem.operator.range.shape)))
        e, white = problem.operator.range.per_sample(data) * e, per_sample(image) * draws(x)
        noise = self._root(white / kappa + problem.backprojected(e), rho**2 - variance)
        downhill = problem.backprojection - problem.normal(x)
        # the solver's own right-hand side is `downhill`; what is missing goes into the centre of its Gaussian
        added = kappa**2 * (((1 + over) * ratio - 1) * downhill + math.sqrt(1 - over**2) * noise)
        z = x + ratio * (added + self._prox.move(x + added, 1 / variance, near=x, downhill=downhill))
        return z if before is None else z + over * (x - before)

    def determined(self, x: Tensor, rho: Tensor) -> Tensor:
        """``rho^2 H x`` while nothing is split: the part of x by which the data move z."""
        return self._space.per_sample(torch.minimum(rho**2, self._longest)) * self._problem.normal(x)

    def _root(self, v: Tensor, delta: Tensor) -> Tensor:
        """``(1 - delta H)^(1/2) v`` by Clenshaw's recurrence."""
        width = self._space.per_sample(4 * delta / _LIMIT)
        after, at = 0 * v, _ROOT[-1] * v
        for c in _ROOT[-2:0:-1]:
            after, at = at, c * v + width * self._problem.normal(at) - 2 * at - after
        return _ROOT[0] * v + width / 2 * self._problem.normal(at) - at - after
