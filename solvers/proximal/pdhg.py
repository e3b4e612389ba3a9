"""Primal-dual hybrid gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

import torch

from invgen.convex.primal_dual import PrimalDual
from invgen.convex.splitting import constrained, joint_norm, ratio_of
from invgen.priors.base import Composite, require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["PDHG"]


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

    Notes ----- The dual steps begin with the sizes of subgradients and differences in a first guess; their
    common factor is corrected so that image and dual variables move alike, each in the metric of its step
    (Goldstein et al. 2015, sec. 4, whose residuals these moves are), for each batch element: after iterations
    8, 16, 32 and so on, more and more rarely, so that it converges as with a fixed one. As long as all dual
    variables still grow that says little; the factor stays near ``|y| / |K x|``, what the bound of Chambolle
    and Pock (2016), eq. 16, is least for.
    """

    prior: Composite
    _: KW_ONLY
    iterations: int = 500
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Composite)

    def prepare(self, problem: Problem) -> PrimalDual:
        """The preconditioned iteration."""
        return PrimalDual(problem, self.prior)

    def steps(self, problem: Problem, method: PrimalDual, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        space, maps, functions = problem.operator.domain, method.maps, method.functions(self.prior)
        size, guessed = space.norm(method.pull), joint_norm(maps, method.guessed)
        first = method.dual_steps(functions)
        x, duals = state.get("unconstrained", lambda: state.x), state.get("duals", method.start)
        images = state.get("images", lambda: [K(x) for K in maps])
        slope = state.get("slope", lambda: method.slope(x, duals))
        pace, k = state.get("pace", lambda: torch.ones_like(size)), state.get("k", lambda: 0)
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
                x=constrained(x, zip(maps, functions, strict=True)),
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
