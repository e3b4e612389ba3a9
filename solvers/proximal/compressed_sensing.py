"""Sparse images from few measurements: the lasso, and basis pursuit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from invgen.convex.discrepancy import assumed_misfit
from invgen.convex.functions import GroupL1
from invgen.convex.momentum import momentum
from invgen.convex.splitting import ratio_of
from invgen.core.batching import placed
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.late import fails
from invgen.operators import Identity, LinearOperator, Space
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["BasisPursuit", "Lasso", "check_orthonormal", "checked_transform"]


@dataclass(frozen=True, kw_only=True)
class Lasso(Solver):
    """Least squares with an l1 penalty, Tibshirani (1996), to a certified accuracy.

    Minimises ``-log p(y | A x) + weight |T x|_1`` for Gaussian or unknown noise, by accelerated proximal
    gradients with adaptive restart (Beck and Teboulle 2009a, eqs. 4.1 to 4.3; O'Donoghue and Candes 2015,
    sec. 3.2). The data term is a quadratic: an iteration costs one ``A.gram``, the gap included.

    In single precision the image of a small CT problem was 2e-2 from that in double, relative to its norm
    (``python -m benchmarks.scale drift``): nearly all of it in directions that the data hardly determine,
    where the rounding of the gradients adds up and nothing takes it back.

    Parameters
    ----------
    weight : positive number or "auto"
        Absolute in that objective. "auto" is ``sqrt(2 log n)`` times the standard deviation of what the noise
        adds to one of n coefficients of ``A.H W y``: hardly any is then made of noise alone (Donoho and
        Johnstone 1994; for the lasso, Bickel, Ritov and Tsybakov 2009). Unknown noise is estimated from the
        data, or else taken to be one percent of them.
    transform : LinearOperator, optional
        T, orthonormal, such as `operators.DCT` or `operators.Wavelet`; by default the pixels count.
    iterations, tolerance
        Stops where the duality gap, and so the distance to the smallest objective, is below the tolerance
        times the objective at zero.
    """

    weight: float | torch.Tensor | str = "auto"
    transform: LinearOperator | None = None
    iterations: int = 2000
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.weight, str):
            if self.weight != "auto":
                raise ParameterError(f"weight is a positive number or 'auto'; got {self.weight!r}.")
        elif fails(torch.as_tensor(self.weight) > 0):
            raise ParameterError(f"weight must be positive; got {self.weight}.")
        check_orthonormal(self.name, self.transform)

    def resolved(self, problem: Problem) -> Self:
        """With a number for the weight."""
        if not isinstance(self.weight, str):
            return self
        space, v = problem.operator.domain, problem.probe
        variance = space.inner(v, problem.normal(v)).real / space.norm(v).square()
        if not problem.likelihood.level_known:
            variance = variance * (assumed_misfit(problem) / problem.count()).to(variance)
        weight = (2 * math.log(space.size) * variance).sqrt()
        # data of nothing but zeros have no scale, and the same image with any weight
        return replace(self, weight=torch.where(weight > 0, weight, 1.0))

    def statistics(self) -> dict[str, Any]:
        """The weight."""
        return {"weight": self.weight}

    def rule(self, problem: Problem) -> dict[str, Any]:
        """The weight is "given", or "universal" as that of Donoho and Johnstone is called."""
        return {"weight_rule": "universal" if isinstance(self.weight, str) else "given"}

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """``weight |T x|_1``."""
        T = checked_transform(self.name, self.transform, problem.operator.domain)
        return placed(self.weight, x) * T(x).abs().sum(T.range.axes)

    def prepare(self, problem: Problem) -> LinearOperator:
        """The transform."""
        return checked_transform(self.name, self.transform, problem.operator.domain)

    def steps(self, problem: Problem, T: LinearOperator, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, x = problem.operator.domain, state.x
        step = space.per_sample(1 / problem.lipschitz())
        weight = placed(self.weight, x)
        shrink = GroupL1(space.per_sample(weight))
        misfit_at_zero = problem.misfit(problem.zeros())
        largest = T(problem.backprojection).abs().amax(T.range.axes)
        slope = state.get("slope", lambda: problem.gradient(x))
        z, slope_at_z = state.get("z", lambda: x), state.get("slope_at_z", lambda: slope)
        t = state.get("t", lambda: torch.ones_like(space.norm(x)))
        while True:
            x_old, slope_old = x, slope
            x = T.H(shrink.prox(T(z - step * slope_at_z), step))
            slope = problem.gradient(x)
            t = torch.where(space.inner(z - x, x - x_old).real > 0, 1.0, t)
            t, beyond = momentum(t)
            beyond = space.per_sample(beyond)
            z = x + beyond * (x - x_old)
            slope_at_z = slope + beyond * (slope - slope_old)  # of a quadratic
            gap = self._gap(problem, T, x, slope, weight, misfit_at_zero, largest)
            yield State(
                x=x,
                optimality=ratio_of(gap, misfit_at_zero / 2),
                slope=slope,
                z=z,
                slope_at_z=slope_at_z,
                t=t,
            )

    def _gap(
        self,
        problem: Problem,
        T: LinearOperator,
        x: torch.Tensor,
        slope: torch.Tensor,
        weight: torch.Tensor,
        misfit_at_zero: torch.Tensor,
        largest: torch.Tensor,
    ) -> torch.Tensor:
        """Duality gap, Kim et al. (2007), sec. III.A, in terms of what an iteration knows.

        The dual point is the residual, scaled so that no coefficient of ``A.H W (y - A x)`` exceeds
        the weight. The slope is a difference of terms as large as the backprojection, `largest`, and so
        exactly is its maximum known: what rounding makes of no gap is none.
        """
        space = problem.operator.domain
        along = space.inner(slope, x).real
        misfit = along - space.inner(problem.backprojection, x).real + misfit_at_zero
        scale = (weight / T(slope).abs().amax(T.range.axes)).clamp(max=1)
        # primal less dual objective, written without the difference of what both have in common
        rest = weight * T(x).abs().sum(T.range.axes) + scale * along
        rounding = 4 * torch.finfo(x.dtype).eps * largest / weight * along.abs()
        return (misfit * (1 - scale).square() / 2 + rest - rounding).clamp(min=0)


@dataclass(frozen=True, kw_only=True)
class BasisPursuit(Solver):
    """The image with the smallest l1 norm among those that fit the data.

    Minimises ``|T x|_1`` among all x with ``|A x - y| <= epsilon``: Chen, Donoho and Saunders (1998); with a
    ball, Candes, Romberg and Tao (2006), eq. 1.7. By the primal-dual method of Chambolle and Pock (2011),
    algorithm 1, which projects onto the ball of data and solves no system.

    Parameters
    ----------
    epsilon : non-negative number or "auto"
        In the unit of the data; zero asks for equality. "auto" is the root of the noise's expected sum of
        squares, where its level is known or can be estimated from the data, else zero.
    transform : LinearOperator, optional
        T, orthonormal, such as `operators.DCT` or `operators.Wavelet`; by default the pixels count.
    iterations, tolerance
        Stops where the data are explained, ``|A x - y| - epsilon`` relative to the data's norm, and the
        duality gap, relative to the larger of both objectives, is closed, both up to the tolerance.

    Notes
    -----
    The primal step starts at the size of the backprojection's pixels, and is corrected so that the residuals
    of both optimality conditions are alike, as Goldstein et al. (2015) do, for each batch element: after
    iterations 1, 2, 4, 8 and so on. The dual step is the longest that converges.
    """

    epsilon: float | str = "auto"
    transform: LinearOperator | None = None
    iterations: int = 3000
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon != "auto" and not (isinstance(self.epsilon, int | float) and self.epsilon >= 0):
            raise ParameterError(
                f"epsilon is a number that is not negative, or 'auto'; got {self.epsilon!r}."
            )
        check_orthonormal(self.name, self.transform)

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """``|T x|_1``."""
        T = checked_transform(self.name, self.transform, problem.operator.domain)
        return T(x).abs().sum(T.range.axes)

    def _radius(self, problem: Problem) -> torch.Tensor:
        """Radius of the ball, shape of the batch."""
        noise, like = problem.likelihood, problem.zeros().real
        weights = noise.weights(problem.operator.range.axes)
        if self.epsilon != "auto":
            squares: Any = float(self.epsilon) ** 2
        elif not noise.level_known:
            squares = problem.expected_misfit()
        elif weights is not None:
            squares = problem.count() / weights.to(like.device)
        else:
            raise CapabilityError(
                "BasisPursuit(epsilon='auto') needs noise of one level; give epsilon, or use Lasso."
            )
        return (
            torch.as_tensor(0.0 if squares is None else squares).to(like).sqrt().expand(problem.batch_shape)
        )

    def prepare(self, problem: Problem) -> LinearOperator:
        """The transform."""
        return checked_transform(self.name, self.transform, problem.operator.domain)

    def steps(self, problem: Problem, T: LinearOperator, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        A, y, x = problem.linear_operator, problem.measurement, state.x
        images, data = A.domain, A.range
        epsilon, size = self._radius(problem), data.norm(y)
        prediction = state.get("prediction", lambda: A(x))
        v, pull = state.get("v", lambda: torch.zeros_like(y)), state.get("pull", lambda: torch.zeros_like(x))
        tau, k = state.get("tau", lambda: _first_step(A, y)), state.get("k", lambda: 0)
        shrink = GroupL1(1.0)
        while True:
            sigma = 0.99 / (tau * A.norm() ** 2)
            t, s = images.per_sample(tau), data.per_sample(sigma)
            x_old, prediction_old, v_old, pull_old = x, prediction, v, pull
            x = T.H(shrink.prox(T(x - t * pull), t))
            prediction = A(x)
            # the conjugate's proximal map by Moreau's identity: what is left of a projection onto the ball
            outside = v / s + 2 * prediction - prediction_old - y
            v = s * outside * data.per_sample((1 - ratio_of(epsilon, data.norm(outside))).clamp(min=0))
            pull = A.H(v)
            k += 1
            if k & (k - 1) == 0:
                primal = images.norm((x_old - x) / t + pull - pull_old) / images.size**0.5
                dual = ratio_of(data.norm((v_old - v) / s + prediction - prediction_old), size)
                ratio = ratio_of(primal, dual).sqrt()
                tau = torch.where((ratio > 0) & (dual > 0), tau * ratio.clamp(0.1, 10), tau)
            magnitudes = T(x).abs().sum(T.range.axes)
            feasible = 1 / T(pull).abs().amax(T.range.axes).clamp(min=1)
            dual = -feasible * (data.inner(v, y).real + epsilon * data.norm(v))
            gap = ratio_of((magnitudes - dual).abs(), torch.maximum(magnitudes, dual.abs()))
            apart = (data.norm(prediction - y) - epsilon).clamp(min=0)
            optimality = torch.maximum(gap, ratio_of(apart, size))
            yield State(x=x, optimality=optimality, prediction=prediction, v=v, pull=pull, tau=tau, k=k)


def _first_step(A: LinearOperator, y: torch.Tensor) -> torch.Tensor:
    """A primal step of the size of the backprojection's pixels, shape of the batch."""
    typical = A.domain.norm(A.H(y)) / (A.norm() ** 2 * A.domain.size**0.5)
    return torch.where(typical > 0, typical, 1.0)


def check_orthonormal(who: str, transform: LinearOperator | None) -> None:
    """Raise unless a transform is none, or orthonormal."""
    if transform is None:
        return
    if not (isinstance(transform.gram, Identity) and transform.range.size == transform.domain.size):
        raise CapabilityError(
            f"{who} needs an orthonormal transform; {transform.name} is not known to be one. "
            "Use ADMM with priors.L1(transform=...)."
        )


def checked_transform(who: str, transform: LinearOperator | None, space: Space) -> LinearOperator:
    """The transform, or the identity, for images of `space`."""
    if transform is None:
        return Identity(space.shape, space.field)
    if transform.domain != space:
        raise ShapeError(f"{who}: the transform takes images of {transform.domain}; these are of {space}.")
    return transform
