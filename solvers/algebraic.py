"""Simultaneous algebraic reconstruction, from all views at once and by subsets of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import LinearOperator, Space
from invgen.operators.krylov import largest_eigenvalue
from invgen.operators.tomography.projection import Projection
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["OSSART", "SIRT"]


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
        A, y, space = _checked(problem, self.name), problem.measurement, problem.operator.domain
        state = State.start(x0)
        x, floor = state.x, problem.expected_misfit()
        update = _Update(A, _alive(problem), x, self.relaxation)
        residual = state.get("residual", y - A(x))
        while True:
            x_old = x
            x = x + update(residual)
            if self.nonnegative:
                x = x.clamp(min=0)
            residual = y - A(x)
            optimality = _change(space, x, x_old)
            if floor is not None:
                optimality = torch.where(_misfit(problem, residual) <= floor, 0, optimality)
            yield State(x, optimality=optimality, residual=residual)


@dataclass(frozen=True)
class OSSART(Solver):
    """Ordered-subsets simultaneous algebraic reconstruction, Wang and Jiang (2004), eq. 13.

    An iteration passes over all views in `subsets`, each of evenly spaced views and as far as can be from
    the one before; for each, ``x' = x + relaxation C A.H R (y - A x)`` with the rays of the subset alone, R
    and C one over the row and column sums of that A. A pass costs as much as an iteration of SIRT, and the
    first passes gain about as much as `subsets` of those.

    With a relaxation that stays the same the iterates do not settle where data are inconsistent: after a
    few passes they go round in a limit cycle, through one image for each subset, at a distance from the
    weighted least-squares image that is proportional to the relaxation, for small ones (Censor, Eggermont and
    Gordon 1983, for one ray at a time). What is given is the image after the last subset. Fewer subsets, less
    relaxation, or SIRT, come closer. Mostly it stops before: where the noise level is known, or can be
    estimated from the data, each batch element stops when the residuals that a pass has met are down to it.

    Parameters
    ----------
    subsets : int
        One is SIRT; at most as many as there are views.
    relaxation : float
        In (0, 2).
    nonnegative : bool
        Set negative pixels to zero after each subset.
    iterations, tolerance
        Passes; else it stops where the relative change of the image over a pass is below the tolerance.
    """

    subsets: int = 10
    relaxation: float = 1.0
    nonnegative: bool = False
    iterations: int = 20
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.subsets, int) and self.subsets >= 1):
            raise ParameterError(f"subsets is a positive number; got {self.subsets!r}.")
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"relaxation is between 0 and 2; got {self.relaxation}.")

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the image after each pass."""
        A, y, space = _checked(problem, self.name), problem.measurement, problem.operator.domain
        if not isinstance(A, Projection):
            raise CapabilityError(
                f"OSSART needs the views of a projection (Radon, FanBeam, ConeBeam); {A.name} has none. "
                "Use SIRT."
            )
        axis = -len(A.range.shape)
        x, floor, alive = State.start(x0).x, problem.expected_misfit(), _alive(problem)
        parts = []
        for views in _ordered_subsets(A.angles, self.subsets):
            part = A.subset(views)
            views = views.to(y.device)
            update = _Update(part, alive.index_select(axis, views), x, self.relaxation)
            parts.append((views, part, y.index_select(axis, views), update))
        residual = torch.zeros_like(y)
        while True:
            x_old = x
            for views, part, data, update in parts:
                met = data - part(x)
                residual.index_copy_(axis, views, met)
                x = x + update(met)
                if self.nonnegative:
                    x = x.clamp(min=0)
            optimality = _change(space, x, x_old)
            if floor is not None:
                optimality = torch.where(_misfit(problem, residual) <= floor, 0, optimality)
            yield State(x, optimality=optimality)


def _ordered_subsets(angles: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Views by subsets, each spread over the scan; in steps of the golden ratio, so that the next is far."""
    order, count = torch.argsort(angles, stable=True), min(count, len(angles))
    places = torch.arange(count, dtype=torch.float64) * ((5**0.5 - 1) / 2) % 1
    return [order[first::count] for first in places.argsort().argsort().tolist()]


class _Update:
    """The step ``relaxation C A.H R`` from residuals to images."""

    def __init__(self, A: LinearOperator, alive: torch.Tensor, x: torch.Tensor, relaxation: float) -> None:
        self._A = A
        self._rows = _inverse_sums(A(torch.ones_like(x))) * alive
        columns = _inverse_sums(A.H(alive))
        self._columns = relaxation * _safe_step(A, self._rows, columns) * columns

    def __call__(self, residual: torch.Tensor) -> torch.Tensor:
        return self._columns * self._A.H(self._rows * residual)


def _checked(problem: Problem, who: str) -> LinearOperator:
    A = problem.linear_operator
    if not isinstance(problem.noise, Gaussian | None) or A.domain.field == "complex":
        raise CapabilityError(
            f"{who} needs real, linear data with normal noise, such as line integrals; use CG."
        )
    return A


def _alive(problem: Problem) -> torch.Tensor:
    """One where a ray was measured, zero at dead pixels."""
    y, noise = problem.measurement, problem.noise
    diagonal = noise.diagonal() if isinstance(noise, Gaussian) else None
    return torch.ones_like(y) if diagonal is None else torch.ones_like(y) * torch.gt(diagonal, 0).to(y)


def _misfit(problem: Problem, residual: torch.Tensor) -> torch.Tensor:
    y, space, noise = problem.measurement, problem.operator.range, problem.noise
    return space.norm(residual) ** 2 if noise is None else noise.deviance(y - residual, y, space.axes)


def _change(space: Space, x: torch.Tensor, x_old: torch.Tensor) -> torch.Tensor:
    return space.norm(x - x_old) / space.norm(x).clamp(min=torch.finfo(x.dtype).tiny)


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
