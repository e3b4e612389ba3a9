"""Conjugate gradients as a reconstruction method."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from invgen.core.errors import InvgenWarning, ParameterError
from invgen.core.krylov import power_of_two
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.state import State

__all__ = ["CG"]

#: Iterations over which the excess of the misfit is compared; what is left of it where it counts as falling;
#: and the misfit, in units of that of the noise, that noise alone does not explain.
_BACK, _FALLING, _ABOVE = 10, 0.99, 1.1

Precondition = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class CG(Solver):
    """Conjugate gradients on the normal equations, Hestenes and Stiefel (1952).

    Minimises ``-log p(y | A x) + weight / 2 |x|^2`` for Gaussian (also weighted, also unknown) noise. With a
    weight, preconditioned in Fourier space where the operator has a `spectrum`.

    In single precision the image of a small CT problem was 2e-2 from that in double, relative to its norm
    (``python -m benchmarks.scale drift``), after the same number of iterations and as near to the truth. The
    rounding of `r` and `p` makes residuals lose their orthogonality once the largest singular value, far from
    the others in CT, has been found (Greenbaum 1989): it is found again, an iteration later. Sums in double
    precision leave that as it is.

    Parameters
    ----------
    weight : non-negative number or "auto"
        Tikhonov weight, absolute in that objective. "auto" adds no penalty and lets the iteration
        regularize: where the noise level is known, or can be estimated from the data, each batch element
        stops when its residual is down to the noise (discrepancy principle, Hanke 1995, sec. 3.3). Where the
        model errs by more than the noise (in CT a beam that flickers, a rotation axis that is off, pixels
        that respond unevenly) the residual never is, and going on towards it amplifies the noise: an element
        then stops where ten iterations have lowered the misfit by less than one percent of its excess over
        that of the noise, which `stats["stalled"]` and a warning report.
    iterations, tolerance
        Else it stops when the gradient is down to `tolerance` times its norm at zero, or at the start.
    """

    weight: float | str = "auto"
    iterations: int = 200
    tolerance: float = 1e-6

    reported: ClassVar[tuple[str, ...]] = ("above",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight != "auto" and not (isinstance(self.weight, int | float) and self.weight >= 0):
            raise ParameterError(f"weight is 'auto' or a number that is not negative; got {self.weight!r}.")

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor | float:
        """``weight / 2 |x|^2``."""
        return self._weight / 2 * problem.operator.domain.norm(x) ** 2 if self._weight else 0.0

    @property
    def _weight(self) -> float:
        """The weight as a number."""
        return 0.0 if self.weight == "auto" else float(self.weight)

    def prepare(self, problem: Problem) -> Precondition:
        """The preconditioner."""
        return _preconditioner(problem, self._weight)

    def steps(self, problem: Problem, precondition: Precondition, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm; the residual's norm falls out of its recurrence."""
        space, weight, x = problem.operator.domain, self._weight, state.x
        noise_floor = problem.expected_misfit() if self.weight == "auto" else None
        r = state.get("r", lambda: problem.backprojection - problem.normal(x) - weight * x)
        p = state.get("p", lambda: precondition(r))
        # the gradient at zero, or where the run starts if that is larger: data of zeros are no measure
        size = state.get("size", lambda: torch.maximum(space.norm(problem.backprojection), space.norm(r)))
        misfit = state.get("misfit", lambda: problem.misfit(x))
        # what it has exceeded that of the noise by, the last one first
        past = state.get("past", lambda: misfit.new_full((_BACK, *misfit.shape), torch.inf))
        above = state.get("above", lambda: torch.ones_like(misfit))
        rz = space.inner(r, precondition(r)).real
        while True:
            q = problem.normal(p) + weight * p
            curvature = space.inner(p, q).real
            alpha = torch.where(curvature > 0, rz / curvature, 0)
            x = x + space.per_sample(alpha) * p
            r = r - space.per_sample(alpha) * q
            misfit = misfit - alpha * rz
            z = precondition(r)
            rz_old, rz = rz, space.inner(r, z).real
            p = z + space.per_sample(torch.where(rz_old > 0, rz / rz_old, 0)) * p
            optimality = torch.where(size > 0, space.norm(r) / size, 0)
            if noise_floor is not None:
                excess = misfit - noise_floor
                stalls = (misfit > _ABOVE * noise_floor) & (excess > _FALLING * past[-1])
                past = torch.cat([excess[None], past[:-1]])
                above = torch.where(stalls, misfit / noise_floor, 1.0)
                optimality = torch.where((excess <= 0) | stalls, 0, optimality)
            yield State(
                x=x, optimality=optimality, r=r, p=p, size=size, misfit=misfit, past=past, above=above
            )

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """Which batch elements stalled, and a warning where there are any."""
        above = ends[0].variables.get("above", torch.ones(()))  # of a run without an iteration
        stalled = above > 1
        if bool(stalled.any()):
            warnings.warn(
                f"CG stopped where the residual stalls, at {float(above.max()) ** 0.5:.2g} times the noise: "
                "the data differ from the model by more than that. In CT the incident beam may vary, the "
                "rotation axis be off, or pixels respond unevenly (rings).",
                InvgenWarning,
                stacklevel=3,
            )
        return {"stalled": stalled if stalled.ndim else bool(stalled)}


def _preconditioner(problem: Problem, weight: float) -> Precondition:
    """The inverse in Fourier space of a convolution that is near, where there is a weight.

    Without one the iterations regularize: they must begin with the coarse features, as plain ones do, and
    end at the solution of smallest norm.
    """
    A, space = problem.linear_operator, problem.operator.domain
    # what is no preconditioner keeps the directions near one, and their products within float32
    unit = space.per_sample(power_of_two(space.norm(problem.backprojection)))
    if weight == 0 or A.spectrum is None:
        return lambda r: r / unit
    mean = space.per_sample(problem.mean_weight)
    return A.fourier_preconditioner(problem.zeros(), mean, weight) or (lambda r: r / unit)
