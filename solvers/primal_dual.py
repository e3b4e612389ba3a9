"""Primal-dual solvers: sums of functions of linear maps of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from invgen.priors.base import Composite, require
from invgen.priors.primal_dual import PrimalDual
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["PDHG"]


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
