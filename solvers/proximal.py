"""Proximal solvers for sparse and total-variation priors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from invgen.errors import CapabilityError, ParameterError
from invgen.operators import Identity
from invgen.priors.base import Composite, Proximable, require
from invgen.priors.primal_dual import PrimalDual
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["FISTA", "PDHG"]

Step = float | torch.Tensor
Prox = Callable[[torch.Tensor, Step, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor | None]]


@dataclass(frozen=True)
class FISTA(Solver):
    """Accelerated proximal gradient, Beck and Teboulle (2009a), eqs. 4.1 to 4.3.

    Minimises ``-log p(y | A x) + prior.value(x)``. A prior with a closed-form proximal map is taken as it
    is; for a composite one, such as total variation, the map is found by `inner_iterations` of the fast
    gradient projection of Beck and Teboulle (2009b), sec. 4, from the dual solution of the last iteration.

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
        prox = _composite_prox(prior, problem, self.inner_iterations)
        space = problem.operator.domain
        tau = 1 / problem.lipschitz()
        state = State.start(x0)
        x, z, t = state.x, state.get("z", state.x), state.get("t", 1.0)
        dual = state.get("dual", None)
        while True:
            x_old = x
            x, dual = prox(z - space.per_sample(tau) * problem.gradient(z), tau, dual)
            t_old, t = t, (1 + math.sqrt(1 + 4 * t * t)) / 2
            z = x + (t_old - 1) / t * (x - x_old)
            yield State(x, z=z, t=t, dual=dual)


def _composite_prox(prior: Any, problem: Problem, iterations: int) -> Prox:
    """The proximal map of a prior, with a dual variable that is handed from call to call."""
    if isinstance(prior, Proximable):
        space = problem.operator.domain
        return lambda u, tau, dual: (prior.prox(u, space.per_sample(tau)), None)
    terms = prior.terms(problem.operator.domain)
    simple = [g for K, g in terms if isinstance(K, Identity)]
    composed = [(K, g) for K, g in terms if not isinstance(K, Identity)]
    if len(composed) != 1 or len(simple) > 1:
        raise CapabilityError("FISTA takes one composed term and one constraint; for more use PDHG.")
    K, g = composed[0]

    def prox(u: torch.Tensor, tau: Step, dual: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        # maximise the dual of |x - u|^2 / (2 tau) + g(K x), accelerated (Beck and Teboulle 2009b, FGP)
        step = K.domain.per_sample(tau)
        dual_step = K.range.per_sample(1 / (tau * K.norm() ** 2))

        def primal(z: torch.Tensor) -> torch.Tensor:
            x = u - step * K.H(z)
            return simple[0].prox(x, step) if simple else x

        z = w = torch.zeros_like(K(u)) if dual is None else dual
        t = 1.0
        for _ in range(iterations):
            z_old, z = z, g.conjugate_prox(w + dual_step * K(primal(w)), dual_step)
            t_old, t = t, (1 + math.sqrt(1 + 4 * t * t)) / 2
            w = z + (t_old - 1) / t * (z - z_old)
        return primal(z), z

    return prox


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
        sigmas = method.dual_steps(prior.weight)
        x, duals = state.get("unconstrained", state.x), state.get("duals", method.start())
        while True:
            x, duals = method.step(x, duals, functions, sigmas)
            yield State(method.constrain(x, functions), unconstrained=x, duals=duals)
