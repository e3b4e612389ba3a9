"""Simultaneous algebraic reconstruction, from all views together and by subsets of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, NamedTuple

import torch

from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.krylov import largest_eigenvalue
from invgen.operators import LinearOperator, Space
from invgen.operators.tomography.projection import Projection
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["OSSART", "SIRT"]


@dataclass(frozen=True, kw_only=True)
class SIRT(Solver):
    """Simultaneous iterative reconstruction technique, Gregor and Benson (2008), eq. 5.

    ``x' = x + relaxation C A.H R (y - A x)`` with R and C one over the row and column sums of A. Where the
    noise level is known, or can be estimated from the data, each batch element stops when its residual is
    down to the noise: early iterates are smooth, late ones fit the noise. Dead pixels take no part.

    Parameters
    ----------
    relaxation : float
        In (0, 2). The default takes two thirds of the iterations that 1 does; close to 2 the coarsest
        features overshoot.
    nonnegative : bool
        Set negative pixels to zero after each step.
    iterations, tolerance
        Else it stops where the relative change of the image is below the tolerance.
    """

    relaxation: float = 1.5
    nonnegative: bool = False
    iterations: int = 200
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"relaxation is between 0 and 2; got {self.relaxation}.")

    def prepare(self, problem: Problem) -> _Updates:
        """The step from a residual to the image."""
        A = _checked(problem, self.name)
        return _Updates([A], [_alive(problem)], problem.zeros(), self.relaxation)

    def steps(self, problem: Problem, update: _Updates, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        A, y, space = problem.linear_operator, problem.measurement, problem.operator.domain
        x, floor = state.x, problem.expected_misfit()
        residual = state.get("residual", lambda: y - A(x))
        while True:
            x_old = x
            x = x + update(0, residual)
            if self.nonnegative:
                x = x.clamp(min=0)
            residual = y - A(x)
            optimality = _change(space, x, x_old)
            if floor is not None:
                optimality = torch.where(_misfit(problem, residual) <= floor, 0, optimality)
            yield State(x=x, optimality=optimality, residual=residual)


@dataclass(frozen=True, kw_only=True)
class OSSART(Solver):
    """Ordered-subsets simultaneous algebraic reconstruction, Wang and Jiang (2004).

    An iteration passes over all views in `subsets`, each of evenly spaced views and as far as can be from
    the one before; for each, ``x' = x + relaxation C A.H R (y - A x)`` with the rays of the subset alone, R
    one over the row sums of that A. C is one over the largest of the subsets' column sums, pixel by pixel.
    Wang and Jiang take each subset's own: the steps then belong to different metrics, and with few views in a
    subset not even data without noise are solved; in one metric no step leads away from a solution. A pass
    costs as much as an iteration of SIRT, and the first passes gain about as much as `subsets` of those.

    With a relaxation that stays the same the iterates do not settle where data are inconsistent: after a
    few passes they go round in a limit cycle, through one image for each subset, at a distance from the
    weighted least-squares image that is proportional to the relaxation, for small ones (Censor, Eggermont and
    Gordon 1983, for one ray at a time). What is given is the image after the last subset. Fewer subsets, less
    relaxation, or SIRT, come closer. Mostly it stops before: where the noise level is known, or can be
    estimated from the data, each batch element stops when the residuals that a pass has met are down to it.

    Parameters
    ----------
    subsets : int
        One is SIRT; at most the number of views.
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

    counts: ClassVar[dict[str, int]] = {"subsets": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.relaxation < 2:
            raise ParameterError(f"relaxation is between 0 and 2; got {self.relaxation}.")

    def prepare(self, problem: Problem) -> _Subsets:
        """The views of each subset, and the steps from their residuals."""
        A = _checked(problem, self.name)
        if not isinstance(A, Projection):
            raise CapabilityError(
                f"OSSART needs the views of a projection (Radon, FanBeam, ConeBeam); {A.name} has none. "
                "Use SIRT."
            )
        y, axis, views = problem.measurement, -len(A.range.shape), _ordered_subsets(A.angles, self.subsets)
        parts = [A.subset(chosen) for chosen in views]
        views = [chosen.to(y.device) for chosen in views]
        alive, data = ([rays.index_select(axis, v) for v in views] for rays in (_alive(problem), y))
        update = _Updates(parts, alive, problem.zeros(), self.relaxation)
        return _Subsets(axis, views, parts, data, update)

    def steps(self, problem: Problem, subsets: _Subsets, state: State) -> Iterator[State]:
        """Yield the image after each pass."""
        x, space, floor = state.x, problem.operator.domain, problem.expected_misfit()
        residual = torch.zeros_like(problem.measurement)
        while True:
            x_old = x
            for number, (views, part) in enumerate(zip(subsets.views, subsets.parts, strict=True)):
                met = subsets.data[number] - part(x)
                residual.index_copy_(subsets.axis, views, met)
                x = x + subsets.update(number, met)
                if self.nonnegative:
                    x = x.clamp(min=0)
            optimality = _change(space, x, x_old)
            if floor is not None:
                optimality = torch.where(_misfit(problem, residual) <= floor, 0, optimality)
            yield State(x=x, optimality=optimality)


def _ordered_subsets(angles: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Views by subsets, each all over the scan; in steps of the golden ratio, so that the next is far."""
    order, count = torch.argsort(angles, stable=True), min(count, len(angles))
    places = torch.arange(count, dtype=torch.float64) * ((5**0.5 - 1) / 2) % 1
    return [order[first::count] for first in places.argsort().argsort().tolist()]


class _Subsets(NamedTuple):
    """Subsets of the views: along the `axis` of the data, which ones, their operators, data and steps."""

    axis: int
    views: list[torch.Tensor]
    parts: list[Projection]
    data: list[torch.Tensor]
    update: _Updates


class _Updates:
    """The steps ``relaxation C A.H R`` from residuals to images, for parts of the rays; C is that of all."""

    def __init__(
        self, parts: Sequence[LinearOperator], alive: list[torch.Tensor], x: torch.Tensor, relaxation: float
    ) -> None:
        ones = torch.ones_like(x)
        self._parts = parts
        self._rows = [_inverse_sums(A(ones)) * rays for A, rays in zip(parts, alive, strict=True)]
        sums = (A.H(rays) for A, rays in zip(parts, alive, strict=True))
        columns = _inverse_sums(reduce(torch.maximum, sums))
        steps = [_safe_step(A, rows, columns) for A, rows in zip(parts, self._rows, strict=True)]
        self._columns = relaxation * reduce(torch.minimum, steps) * columns

    def __call__(self, number: int, residual: torch.Tensor) -> torch.Tensor:
        return self._columns * self._parts[number].H(self._rows[number] * residual)


def _checked(problem: Problem, who: str) -> LinearOperator:
    A = problem.linear_operator
    if not problem.likelihood.quadratic or A.domain.field == "complex":
        raise CapabilityError(
            f"{who} needs real, linear data with Gaussian noise, such as line integrals; use CG."
        )
    return A


def _alive(problem: Problem) -> torch.Tensor:
    """One where a ray was measured, zero at dead pixels."""
    y = problem.measurement
    return torch.gt(problem.likelihood.curvature(y, y), 0).to(y)


def _misfit(problem: Problem, residual: torch.Tensor) -> torch.Tensor:
    y, space, noise = problem.measurement, problem.operator.range, problem.likelihood
    if not noise.level_known:
        return space.norm(residual) ** 2
    return noise.deviance(y - residual, y, space.axes, problem.observed)


def _change(space: Space, x: torch.Tensor, x_old: torch.Tensor) -> torch.Tensor:
    return space.norm(x - x_old) / space.norm(x).clamp(min=torch.finfo(x.dtype).tiny)


def _inverse_sums(sums: torch.Tensor) -> torch.Tensor:
    """One over row or column sums; zero where hardly anything is summed, as a ray that misses the image."""
    smallest = 1e-3 * sums.abs().max()
    return torch.where(sums > smallest, 1 / sums.clamp(min=smallest), 0)


def _safe_step(A: LinearOperator, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """One over the largest eigenvalue of ``C A.H R A``, which is one where A has no negative entries."""
    if A.nonnegative:
        return columns.new_tensor(1.0)
    root = columns.sqrt()
    start = A.domain.random(seed=0, dtype=columns.dtype).to(columns).expand(columns.shape)
    largest = largest_eigenvalue(lambda v: root * A.H(rows * A(root * v)), start, A.domain, tolerance=1e-3)
    return A.domain.per_sample(1 / (1.01 * largest).clamp(min=1))
