"""Primal-dual solvers: sums of functions of linear maps of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from invgen.convex.primal_dual import PrimalDual
from invgen.convex.splitting import constrained, joint_norm, ratio_of, total
from invgen.operators import Identity, LinearOperator
from invgen.priors.base import Composite, require
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["PDHG", "CondatVu"]


@dataclass(frozen=True)
class PDHG(Solver):
    """Primal-dual hybrid gradient, Chambolle and Pock (2016), algorithm 1, with an explicit data term.

    Minimises ``-log p(y | A x) + prior.value(x)`` for a composite prior such as total variation. The data
    are touched once; each iteration costs one gradient, which is one ``A.gram`` where the noise is uniform.
    Preconditioned in Fourier space, or in pixels; the iteration itself is
    `invgen.convex.primal_dual.PrimalDual`.

    Under Poisson noise, whose curvature has no bound, the data term is taken by its dual, at the cost of one
    ``A`` and one ``A.H``. Predictions that are not allowed, those below zero, then become rare and small, and
    none is left in the limit; images without negative pixels, by ``TotalVariation(nonnegative=True)``, have
    none where the operator is non-negative.

    Parameters
    ----------
    prior : Composite
    iterations, tolerance
        Stops where both residuals of the optimality conditions are below the tolerance: the distance of zero
        from the subgradients in x, relative to the data term's gradient at zero, and of K x from those of the
        conjugates, relative to K x, or that of a first guess where it is larger.

    Notes
    -----
    The dual steps begin with the sizes of subgradients and differences in a first guess; their common factor
    is corrected so that image and dual variables move alike, each in the metric of its step (Goldstein et al.
    2015, sec. 4, whose residuals these moves are), for each batch element: after iterations 8, 16, 32 and so
    on, more and more rarely, so that it converges as with a fixed one. As long as all dual variables grow by
    themselves that says little; the factor stays near ``|y| / |K x|``, what the bound of Chambolle and Pock
    (2016), eq. 16, is least for.
    """

    prior: Composite
    iterations: int = 500
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, state = problem.operator.domain, State.start(x0)
        prior = self.prior.resolve(problem)
        method = PrimalDual(problem, prior)
        maps, functions = method.maps, method.functions(prior)
        size, guessed = space.norm(method.pull), joint_norm(maps, method.guessed)
        first = method.dual_steps(functions)
        x, duals = state.get("unconstrained", state.x), state.get("duals", None) or method.start()
        images = state.get("images", None) or [K(x) for K in maps]
        slope = state.get("slope", None)
        slope = method.slope(x, duals) if slope is None else slope
        pace, k = state.get("pace", torch.ones_like(size)), state.get("k", 0)
        while True:
            sigmas = [pace * sigma for sigma in first]
            x_old, duals_old, images_old, slope_old = x, duals, images, slope
            x, duals = method.step(x, duals, slope, functions, sigmas)
            slope, images = method.slope(x, duals), [K(x) for K in maps]
            moves = [y_old - y for y, y_old in zip(duals, duals_old, strict=True)]
            steps = method.entrywise(sigmas)
            apart = [
                move / step + new - old
                for move, step, new, old in zip(moves, steps, images, images_old, strict=True)
            ]
            dual = ratio_of(joint_norm(maps, apart), torch.maximum(joint_norm(maps, images), guessed))
            k += 1
            if k >= 8 and k & (k - 1) == 0:
                moved = space.inner(slope_old, x_old - x).real.clamp(min=0).sqrt()
                dual_moved = joint_norm(maps, [m / s.sqrt() for m, s in zip(moves, steps, strict=True)])
                pace = _balanced(pace, dual_moved, moved, method.ratio(duals, images, first))
            yield State(
                method.constrain(x, functions),
                optimality=torch.maximum(ratio_of(space.norm(slope), size), dual),
                unconstrained=x,
                duals=duals,
                images=images,
                slope=slope,
                pace=pace,
                k=k,
            )


def _balanced(
    pace: torch.Tensor, dual: torch.Tensor, primal: torch.Tensor, typical: torch.Tensor
) -> torch.Tensor:
    """Pace of the dual steps at which both move alike, not far from the typical one."""
    ratio = ratio_of(dual, primal).sqrt()
    moved = torch.where((ratio > 0) & (typical > 0), pace * ratio.clamp(0.1, 10), pace)
    return moved.maximum(typical.clamp(max=1)).minimum((10 * typical).clamp(min=1))


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
    iterations: int = 1000
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, state = problem.operator.domain, State.start(x0)
        terms = self.prior.resolve(problem).terms(space)
        direct, terms = _split(terms)
        maps = [K for K, _ in terms]
        zeros, squares = problem.zeros(), sum(K.norm() ** 2 for K in maps)
        L = torch.as_tensor(problem.lipschitz(), dtype=zeros.dtype.to_real(), device=zeros.device)
        L = L.expand(problem.batch_shape)
        size = space.norm(problem.gradient(zeros))
        x, k = state.get("unconstrained", state.x), state.get("k", 0)
        images = [K(x) for K in maps]
        duals = state.get("duals", None) or [torch.zeros_like(image) for image in images]
        sigma = state.get("sigma", 0.1 * L / squares if maps else L)
        slope = state.get("slope", problem.gradient(x))
        pull = state.get("pull", zeros)
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
                constrained(x, terms),
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
