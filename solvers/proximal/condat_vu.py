"""Condat and Vu's primal-dual splitting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch

from invgen.convex.protocols import Composite
from invgen.convex.splitting import constrained, joint_norm, ratio_of, total
from invgen.operators import Identity, LinearOperator
from invgen.priors.base import require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["CondatVu"]


@dataclass(frozen=True)
class CondatVu(Solver):
    """Primal-dual splitting of a sum, Condat (2013), algorithm 3.1, and Vu (2013).

    Minimises ``-log p(y | A x) + g(x) + sum h_i(K_i x)``: the data term by its gradient, a term of the image
    itself, such as a constraint, by its proximal map, and all others by their duals:

        x' = prox_{tau g}(x - tau (grad f(x) + sum K_i.H y_i))
        y_i' = prox_{sigma h_i*}(y_i + sigma K_i (2 x' - x))

    with ``1 / tau = L / 2 + sigma sum |K_i|^2``, the longest step of theorem 3.1. No system is solved, and no
    spectrum asked for; `PDHG` needs fewer iterations where the operator has one.

    Parameters
    ----------
    prior : Composite
        Such as ``0.1 * TotalVariation() + NonNegative()``.
    iterations, tolerance
        Stops where both residuals of the optimality conditions are below the tolerance: the distance of zero
        from the subgradients in x, relative to the data term's gradient at zero, and of K x from those of the
        conjugates, relative to K x.

    Notes
    -----
    sigma starts at a tenth of L over that of the penalty, and is corrected so that both residuals are alike,
    as Goldstein et al. (2015) do, within a factor of ten of ``|y| / |K x|``, for each batch element: after
    iterations 1, 2, 4, 8 and so on.
    """

    prior: Composite
    _: KW_ONLY
    iterations: int = 1000
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)

    def steps(self, problem: Problem, prepared: None, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space = problem.operator.domain
        direct, terms = _split(self.prior.terms(space))
        maps = [K for K, _ in terms]
        zeros, squares = problem.zeros(), sum(K.norm() ** 2 for K in maps)
        L, size = problem.lipschitz(), space.norm(problem.gradient(zeros))
        x, k = state.get("unconstrained", lambda: state.x), state.get("k", lambda: 0)
        images = [K(x) for K in maps]
        duals = state.get("duals", lambda: [torch.zeros_like(image) for image in images])
        sigma = state.get("sigma", lambda: 0.1 * L / squares if maps else L)
        slope = state.get("slope", lambda: problem.gradient(x))
        pull = state.get("pull", lambda: zeros)
        while True:
            tau = space.per_sample(1 / (L / 2 + sigma * squares) if maps else 1 / L)
            x_old, images_old, duals_old, slope_old, pull_old = x, images, duals, slope, pull
            x = x - tau * (slope + pull)
            x = x if direct is None else direct.prox(x, tau)
            images, slope = [K(x) for K in maps], problem.gradient(x)
            sigmas = [K.range.per_sample(sigma) for K in maps]
            duals = [
                h.conjugate_prox(y + s * (2 * new - old), s)
                for (_, h), y, s, new, old in zip(terms, duals, sigmas, images, images_old, strict=True)
            ]
            pull = total([zeros, *(K.H(y) for K, y in zip(maps, duals, strict=True))])
            primal = space.norm((x_old - x) / tau + slope - slope_old + pull - pull_old)
            optimality = ratio_of(primal, size)
            k += 1
            if maps:
                dual = [
                    (y_old - y) / s + new - old
                    for y, y_old, s, new, old in zip(
                        duals, duals_old, sigmas, images, images_old, strict=True
                    )
                ]
                apart = ratio_of(joint_norm(maps, dual), joint_norm(maps, images))
                if k & (k - 1) == 0:
                    ratio = ratio_of(apart, optimality).sqrt()
                    typical = ratio_of(joint_norm(maps, duals), joint_norm(maps, images))
                    near = (sigma * ratio.clamp(0.1, 10)).maximum(0.1 * typical).minimum(10 * typical)
                    sigma = torch.where((ratio > 0) & (typical > 0), near, sigma)
                optimality = torch.maximum(optimality, apart)
            yield State(
                x=constrained(x, terms),
                optimality=optimality,
                unconstrained=x,
                duals=duals,
                sigma=sigma,
                slope=slope,
                pull=pull,
                k=k,
            )


def _split(terms: list[tuple[LinearOperator, Any]]) -> tuple[Any, list[tuple[LinearOperator, Any]]]:
    """A function of the image itself, or None, and the other terms."""
    for i, (K, g) in enumerate(terms):
        if isinstance(K, Identity):
            return g, terms[:i] + terms[i + 1 :]
    return None, terms
