"""The curvature of the data term: how long steps down its slope may be."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.core.krylov import largest_eigenvalue
from invgen.operators import LinearOperator
from invgen.problem import Problem

__all__ = ["check_curvature", "largest_curvature"]


def check_curvature(problem: Problem) -> None:
    """Raise where the noise has no bounded curvature, so that no step is small enough."""
    if problem.likelihood.largest_curvature is None:
        raise CapabilityError(
            f"{problem.likelihood.name} noise has unbounded curvature, so that no step of Langevin dynamics "
            "is small enough: describe the data by Gaussian weights."
        )


def largest_curvature(problem: Problem, x: Tensor) -> Tensor:
    """Largest curvature of the data term, for each batch element.

    A bound for all images where the operator is linear; else that of Gauss and Newton's matrix at x,
    ``J.H w J`` with the operator's Jacobian J and the noise's curvature w.
    """
    if isinstance(problem.operator, LinearOperator):
        return problem.lipschitz()
    A, noise = problem.operator, problem.likelihood
    weights = noise.curvature(A(x), problem.measurement)
    if problem.observed is not None:
        weights = torch.where(problem.observed, weights, 0)

    def hessian(v: Tensor) -> Tensor:
        seen = A.jvp(x, v)
        # a covariance is more than its diagonal
        return A.vjp(x, noise.precision(seen) if noise.quadratic else weights * seen)

    return largest_eigenvalue(hessian, problem.probe, A.domain, tolerance=1e-2)
