"""How well noisy images explain the data: the twisting function, its slope, and noise that suits the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from invgen.problem import Problem
from invgen.solvers.data_prox import DataProx

__all__ = ["DataStep", "Twist"]

#: Curvatures below this part of what it is made of, and residuals below that part of the first, are rounding.
_ROUNDING, _SOLVED = 1e-3, 1e-5

#: What is added up of a vector of measurements, and the vector as an image: see `DataStep.twist`.
_Vector = tuple[Tensor, Tensor, Tensor]


class Twist(NamedTuple):
    """The logarithm of an estimate of ``p(y | x_t)``.

    Attributes
    ----------
    value : tensor, shape (n,)
    guide : tensor, shape (n, *image)
        Its slope with respect to x_t, times the square of the noise level.
    """

    value: Tensor
    guide: Tensor


class DataStep:
    """What particles need of the data.

    Parameters
    ----------
    problem : Problem
        Of a linear operator A and Gaussian noise of the precision W; its one batch axis counts particles.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.space = problem, problem.operator.domain
        self._prox = DataProx(problem)
        y = problem.measurement
        wide = torch.promote_types(y.dtype, torch.float64)
        self._wide = None
        if wide != y.dtype:
            self._wide = DataStep(Problem(problem.operator, y.to(wide), problem.noise))

    def toward(self, z: Tensor, variance: float, e: Tensor | None = None) -> Tensor:
        """From z to the maximum of ``p(y | x) N(x; z, variance)``, of the data plus e."""
        return self._prox.move(z, self._precision(z, variance), None, e)

    def seen(self, w: Tensor, variance: float) -> Tensor:
        """``(G + 1 / variance)^-1 G w`` with ``G = A.H W A``: what the data see of w."""
        return -self._homogeneous(w, variance)

    def misfit(self, z: Tensor, variance: float) -> Tensor:
        """``r.H (W^-1 + variance A A.H)^-1 r`` of the residual ``r = y - A z``, shape (n,)."""
        move = self.toward(z, variance)
        return self.problem.misfit(z + move) + self.space.norm(move).square() / variance

    def twist(
        self,
        denoised: Tensor,
        pullback: Callable[[Tensor], Tensor],
        sigma: float,
        variance: float,
        steps: int,
    ) -> Twist:
        """``-r.H S^-1 r / 2`` of the residual ``r = y - A D``, ``S = W^-1 + sigma^2 A J A.H``.

        By conjugate gradients, preconditioned by S with this `variance` in place of ``sigma^2 J``. All is in
        terms of images: a vector u of measurements is ``variance A.H u``. Inner products with the
        preconditioner need no more, if of each it is known what the data saw: it is ``c first + seen(w)``
        with `first` that of the residual itself. These differ by little where the residual is much larger
        than the noise, so that all but the denoiser is in double precision: rounded to seven digits, the last
        steps would be chance, and so would the weights of the particles.
        """
        if self._wide is not None:
            dtype = denoised.dtype
            found = self._wide.twist(
                denoised.to(self._wide.problem.zeros().dtype),
                lambda v: pullback(v.to(dtype)).to(v.dtype),
                sigma,
                variance,
                steps,
            )
            return Twist(found.value, found.guide.to(dtype))
        space, each = self.space, self.space.per_sample
        tiny = torch.finfo(denoised.real.dtype).tiny
        first = self.toward(denoised, variance)
        misfit = self.problem.misfit(denoised + first)
        square = misfit + space.norm(first).square() / variance

        def inner(a: Tensor, b: Tensor) -> Tensor:
            return space.inner(a, b).real / variance

        def size(c: Tensor, w: Tensor, v: Tensor) -> Tensor:
            return c * c * square + 2 * c * inner(first, w) + inner(v - each(c) * first, w)

        ones, zeros = torch.ones_like(square), torch.zeros_like(first)
        z = p = (ones, zeros, first)  # the residual and the direction: c, w and the vector
        value, guide, left = torch.zeros_like(square), zeros, square
        for k in range(steps):
            pulled = (sigma**2 / variance) * pullback(p[2])
            w = p[2] - pulled
            own = size(*p)
            # of the first direction without a difference
            curvature = misfit + inner(first, pulled).clamp(min=0) if k == 0 else own - inner(p[2], w)
            sure = (curvature > (0 if k == 0 else _ROUNDING * own)) & (left > 0)
            alpha = torch.where(sure, left / curvature.clamp(min=tiny), 0)
            value, guide = value - alpha * left / 2, guide + each(alpha) * pulled
            if k == steps - 1:
                break
            change = (p[0], p[1] - w, p[2] - self.seen(w, variance))
            z = _plus(z, -alpha, change, each)
            before, left = left, size(*z)
            left = torch.where(sure & (left > _SOLVED * square), left, 0)
            p = _plus(z, left / before.clamp(min=tiny), p, each)
        return Twist(value, guide)

    def noise(
        self, white: Tensor, other: Tensor, e: Tensor, low: float, high: float
    ) -> tuple[Tensor, Tensor]:
        """Noise of the covariance ``(1 + low G) (1 + high G)^-1``: less where the data see.

        Parameters
        ----------
        white, other : tensor, shape (n, *image)
        e : tensor, shape (n, *measurement)
            Noise like that of the data.
        low, high : float
            Two variances.

        Returns
        -------
        tensor, shape (n, *image)
        tensor, shape (n,)
            Logarithm of the density of white noise there over that of this noise.
        """
        c = low / high
        # of the covariance (1 + high G)^-1
        other = other + self._homogeneous(other, high, e / high**0.5)
        noise = c**0.5 * white + (1 - c) ** 0.5 * other
        surplus = (1 / c - 1) / 2 * self.space.inner(noise, self.seen(noise, low)).real
        return noise, surplus + self.log_determinant(low, high)

    def log_determinant(self, low: float, high: float) -> float:
        """Half the logarithm of the determinant of that covariance; zero where none is known."""
        svd, weight = self.problem.linear_operator.svd, self.problem.uniform_weight
        if svd is None or weight is None:
            return 0.0
        eigenvalues = torch.as_tensor(weight).flatten()[0].double() * svd.s.double().square()
        parts = 2 if self.space.field == "complex" else 1
        return parts / 2 * float((torch.log1p(low * eigenvalues) - torch.log1p(high * eigenvalues)).sum())

    def _homogeneous(self, z: Tensor, variance: float, e: Tensor | float = 0.0) -> Tensor:
        """`toward` for data of zero, plus e."""
        return self.toward(z, variance, e - self.problem.measurement)

    def _precision(self, like: Tensor, variance: float) -> Tensor:
        return like.real.new_full(self.problem.batch_shape, 1 / variance)


def _plus(a: _Vector, factor: Tensor, b: _Vector, each: Callable[[Tensor], Tensor]) -> _Vector:
    return a[0] + factor * b[0], a[1] + each(factor) * b[1], a[2] + each(factor) * b[2]
