"""Sparse deviations: what a generator makes, and a few pixels or coefficients more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invgen.convex.functions import GroupL1
from invgen.convex.momentum import momentum
from invgen.operators import LinearOperator
from invgen.problem import Problem
from invgen.solvers.latent.adam import Adam, check_rate
from invgen.solvers.latent.base import Descent, LatentSolver
from invgen.solvers.point import Density, Point
from invgen.solvers.proximal.compressed_sensing import Lasso, check_orthonormal, checked_transform
from invgen.solvers.scale import with_noise
from invgen.solvers.state import State

__all__ = ["SparseDeviation"]


class _Prepared(NamedTuple):
    transform: LinearOperator
    shrink: GroupL1
    weight: Tensor


@dataclass(frozen=True, kw_only=True)
class SparseDeviation(LatentSolver):
    """Sparse-Gen, Dhar, Grover and Ermon (2018), eq. 5: images near what a generator makes.

    Minimizes, over latent variables z and deviations v that are sparse in a basis,

        |A (G(z) + v) - y|^2 / (2 std^2) + weight |z|^2 / 2 + sparsity |T v|_1

    in turns: a step of Adam for z, and some of accelerated proximal gradients for v (Beck and Teboulle 2009a,
    eqs. 4.1 to 4.3), which cost no evaluation of the generator. The first quarter of the iterations is for
    the latent variables alone: deviations that may be anything would leave them no slope to go down. With
    enough data the image may be anything, with few it is what the generator makes.

    Parameters
    ----------
    prior : Generator
    sparsity : positive number or "auto"
        Of images in the prior's value range. "auto" is that of `Lasso`: hardly any coefficient is then made
        of noise alone.
    transform : LinearOperator, optional
        T, orthonormal, such as `operators.DCT` or `operators.Wavelet`; by default the pixels count.
    learning_rate : positive number
        Of Adam.
    proximal_steps : int
        For v, in each iteration.
    iterations, tolerance
        A restart ends where the relative change of its image is at most the tolerance.
    restarts, weight, scale
        See `LatentSolver`.
    """

    sparsity: float | str = "auto"
    transform: LinearOperator | None = None
    learning_rate: float = 0.05
    proximal_steps: int = 5
    iterations: int = 500
    tolerance: float = 1e-5

    counts: ClassVar[dict[str, int]] = {**LatentSolver.counts, "proximal_steps": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.learning_rate)
        check_orthonormal(self.name, self.transform)
        self._lasso()

    def _lasso(self) -> Lasso:
        """What the deviations alone would be found by: it checks and knows the weight."""
        return Lasso(weight=self.sparsity, transform=self.transform)

    def descent(self) -> Descent:
        """Adam, of the latent variables."""
        return Adam(self.learning_rate)

    def described(self, problem: Problem) -> Problem:
        """The problem with Gaussian noise, of a linear operator."""
        assert problem.linear_operator is not None  # raises where it is not
        return with_noise(problem, self.name)

    def prepare(self, problem: Problem) -> _Prepared:
        """The transform, and the weight of the deviations."""
        weight = torch.as_tensor(self._lasso().resolved(problem).weight).to(problem.zeros().real)
        weight = weight.expand(problem.batch_shape)
        transform = checked_transform(self.name, self.transform, problem.operator.domain)
        return _Prepared(transform, GroupL1(transform.range.per_sample(weight)), weight)

    def steps(self, problem: Problem, prepared: Any, state: State) -> Iterator[State]:
        """Move latent variables and deviations in turns."""
        T, descent, space = prepared.transform, self.descent(), problem.operator.domain
        v = state.get("v", problem.zeros)
        at = state.get("at", lambda: self.placed(self._remaining(problem, v), descent, state["z"]))
        x, alone = at["point"]["image"] + v, self.iterations // 4
        for k in itertools.count(state.get("k", lambda: 0)):
            moving = at["moving"]
            # the step of z does not stop where the image does: v may still move
            at, _ = self.moved(self._remaining(problem, v), descent, at)
            if k >= alone:
                v = torch.where(space.per_sample(moving), self._deviation(problem, prepared, at, v), v)
            if k + 1 == alone:  # the moments are those of far larger gradients
                at = {**at, "memory": descent.begin(Point(**at["point"]))}
            x_old, x = x, at["point"]["image"] + v
            change = space.norm(x - x_old) / space.norm(x).clamp(min=torch.finfo(x.dtype).tiny)
            measure = torch.where(moving & at["finite"], change if k >= alone else 1.0, 0)
            at = {**at, "moving": moving & at["finite"] & ~(measure <= self.tolerance)}
            penalty = at["point"]["penalty"] + prepared.weight * T(v).abs().sum(T.range.axes)
            yield State(
                x,
                measure,
                k=k + 1,
                v=v,
                at=at,
                penalty=penalty,
                latents=at["point"]["x"],
                finite=at["finite"],
            )

    def _remaining(self, problem: Problem, v: Tensor) -> Density:
        """Of the latent variables, for what the deviations leave of the data."""
        A = problem.linear_operator
        return self.density_of_latents(Problem(A, problem.measurement - A(v), problem.noise))

    def _deviation(self, problem: Problem, prepared: _Prepared, at: dict[str, Any], v: Tensor) -> Tensor:
        """Some proximal gradient steps, for what the image of the latent variables leaves of the data."""
        A, T, space = problem.linear_operator, prepared.transform, problem.operator.domain
        rest = problem.backprojected(problem.measurement - A(at["point"]["image"]))
        step = space.per_sample(1 / problem.lipschitz())
        u, t = v, torch.ones_like(prepared.weight)
        for _ in range(self.proximal_steps):
            v_old, v = v, T.H(prepared.shrink.prox(T(u - step * (problem.normal(u) - rest)), step))
            t, beyond = momentum(t)
            u = v + space.per_sample(beyond) * (v - v_old)
        return v
