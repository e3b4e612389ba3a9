"""Proximal solvers for sparse and total-variation priors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.errors import ParameterError
from invgen.priors.base import Composite, Proximable, has_closed_form, require
from invgen.priors.preconditioned import MetricProx
from invgen.priors.primal_dual import PrimalDual
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["FISTA", "PDHG"]


@dataclass(frozen=True)
class FISTA(Solver):
    """Accelerated proximal gradient, Beck and Teboulle (2009a), eqs. 4.1 to 4.3.

    Minimises ``-log p(y | A x) + prior.value(x)``. A prior with a closed-form proximal map is taken as it is,
    with the step size ``1 / L``. For a composite one, such as total variation, the map is found by
    `inner_iterations` of an iteration of its own that needs no projections; the step size is then a matrix,
    diagonal in Fourier space where the operator has a `spectrum`, which saves most of the outer iterations:
    see `invgen.priors.preconditioned.MetricProx`.

    Parameters
    ----------
    prior : Proximable or Composite
    iterations, tolerance
        Stops where the relative change of the image is below the tolerance.
    inner_iterations : int
        For composite priors.
    """

    prior: Proximable | Composite
    iterations: int = 300
    tolerance: float = 1e-4
    inner_iterations: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Proximable, Composite)
        if not self.inner_iterations >= 1:
            raise ParameterError(f"inner_iterations is a positive number; got {self.inner_iterations!r}.")

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        prior = self.prior.resolve(problem)
        if has_closed_form(prior, problem.operator.domain):
            return self._closed_form(problem, prior, State.start(x0))
        return self._composite(problem, prior, State.start(x0))

    def _closed_form(self, problem: Problem, prior: Proximable, state: State) -> Iterator[State]:
        tau = problem.operator.domain.per_sample(1 / problem.lipschitz())
        x, z, t = state.x, state.get("z", state.x), state.get("t", 1.0)
        while True:
            x_old, x = x, prior.prox(z - tau * problem.gradient(z), tau)
            t_old, t = t, (1 + math.sqrt(1 + 4 * t * t)) / 2
            z = x + (t_old - 1) / t * (x - x_old)
            yield State(x, z=z, t=t)

    def _composite(self, problem: Problem, prior: Composite, state: State) -> Iterator[State]:
        prox = MetricProx(problem, prior, self.inner_iterations)
        functions = [g for _, g in prior.terms(problem.operator.domain)]
        x, t = state.get("unconstrained", state.x), state.get("t", 1.0)
        z, duals = state.get("z", x), state.get("duals", prox.start())
        while True:
            x_old = x
            x, duals = prox(prox.descend(z), duals, functions)
            t_old, t = t, (1 + math.sqrt(1 + 4 * t * t)) / 2
            z = x + (t_old - 1) / t * (x - x_old)
            yield State(prox.constrain(x, functions), unconstrained=x, z=z, t=t, duals=duals)


@dataclass(frozen=True)
class PDHG(Solver):
    """Primal-dual hybrid gradient, Chambolle and Pock (2016), algorithm 1, with an explicit data term.

    Minimises ``-log p(y | A x) + prior.value(x)`` for a composite prior such as total variation. The data
    are touched once; each iteration costs one gradient, which is one ``A.gram`` where the noise is uniform.
    Preconditioned in Fourier space; the iteration itself is `invgen.priors.primal_dual.PrimalDual`.

    Parameters
    ----------
    prior : Composite
    iterations, tolerance
        Stops where the relative change of the image is below the tolerance.
    """

    prior: Composite
    iterations: int = 500
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        prior = self.prior.resolve(problem)
        method = PrimalDual(problem, prior)
        functions = [g for _, g in prior.terms(problem.operator.domain)]
        state = State.start(x0)
        sigmas = method.dual_steps(functions)
        x, duals = state.get("unconstrained", state.x), state.get("duals", method.start())
        while True:
            x, duals = method.step(x, duals, functions, sigmas)
            yield State(method.constrain(x, functions), unconstrained=x, duals=duals)
