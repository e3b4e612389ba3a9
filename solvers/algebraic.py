"""Simultaneous algebraic reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import LinearOperator
from invgen.operators.krylov import largest_eigenvalue
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["SIRT"]


@dataclass(frozen=True)
class SIRT(Solver):
    """Simultaneous iterative reconstruction technique, Gregor and Benson (2008), eq. 5.

    ``x' = x + relaxation C A.H R (y - A x)`` with R and C one over the row and column sums of A. Where the
    noise level is known, or can be estimated from the data, each batch element stops when its residual is
    down to the noise: early iterates are smooth, late ones fit the noise. Dead pixels take no part.

    Parameters
    ----------
    relaxation : float
        In (0, 2).
    nonnegative : bool
        Set negative pixels to zero after each step.
    iterations, tolerance
        Else it stops where the relative change of the image is below the tolerance.
    """

    relaxation: float = 1.0
    nonnegative: bool = False
    iterations: int = 200
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"relaxation is between 0 and 2; got {self.relaxation}.")

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        A, y, space = problem.linear_operator, problem.measurement, problem.operator.domain
        noise = problem.noise
        if not isinstance(noise, Gaussian | None) or space.field == "complex":
            raise CapabilityError(
                "SIRT needs real, linear data with normal noise, such as line integrals; use CG."
            )
        state = State.start(x0)
        x, floor = state.x, problem.expected_misfit()
        diagonal = None if noise is None else noise.diagonal()
        alive = torch.ones_like(y) if diagonal is None else torch.gt(diagonal, 0).to(y)
        rows = _inverse_sums(A(torch.ones_like(x))) * alive
        columns = _inverse_sums(A.H(torch.ones_like(y) * alive))
        step = self.relaxation * _safe_step(A, rows, columns)
        residual = state.get("residual", y - A(x))
        while True:
            x_old = x
            x = x + step * columns * A.H(rows * residual)
            if self.nonnegative:
                x = x.clamp(min=0)
            residual = y - A(x)
            optimality = space.norm(x - x_old) / space.norm(x).clamp(min=torch.finfo(x.dtype).tiny)
            if floor is not None:
                misfit = (
                    A.range.norm(residual) ** 2
                    if noise is None
                    else noise.deviance(y - residual, y, A.range.axes)
                )
                optimality = torch.where(misfit <= floor, 0, optimality)
            yield State(x, optimality=optimality, residual=residual)


def _inverse_sums(sums: torch.Tensor) -> torch.Tensor:
    """One over row or column sums; zero where hardly anything is summed, as a ray that misses the image."""
    smallest = 1e-3 * sums.abs().max()
    return torch.where(sums > smallest, 1 / sums.clamp(min=smallest), 0)


def _safe_step(A: LinearOperator, rows: torch.Tensor, columns: torch.Tensor) -> float | torch.Tensor:
    """One over the largest eigenvalue of ``C A.H R A``, which is one where A has no negative entries."""
    if A.nonnegative:
        return 1.0
    root = columns.sqrt()
    start = A.domain.random(seed=0, dtype=columns.dtype).to(columns).expand(columns.shape)
    largest = largest_eigenvalue(lambda v: root * A.H(rows * A(root * v)), start, A.domain, tolerance=1e-3)
    return A.domain.per_sample(1 / (1.01 * largest).clamp(min=1))
