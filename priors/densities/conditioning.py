"""Gaussian densities given a measurement: the linear algebra of Bayes' theorem."""

from __future__ import annotations

import torch

from invgen.core.errors import CapabilityError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import Space
from invgen.priors.densities.covariances import Covariance
from invgen.problem import Problem

__all__ = ["condition"]

#: Pixels whose matrices fit into memory and a minute, and numbers in all matrices together (2 GB).
_PIXELS, _NUMBERS = 4096, 2**28

#: Images that the operator is applied to at a time.
_BLOCK = 256


@torch.no_grad()
def condition(
    problem: Problem, means: torch.Tensor, covariances: Covariance
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Posterior of each of k Gaussian densities under a linear operator with Gaussian noise.

    With ``C = S S.H``, the curvature ``H = A.H W A`` of the data term and ``M = 1 + S.H H S``, the posterior
    covariance is ``S M^-1 S.H``, and the mean is m plus that times ``A.H W (y - A m)``: directions without
    variance stay without. The evidence, up to one factor for all, is minus the data term at the posterior
    mean, ``|z|^2 / 2`` with ``mean = m + S z``, and half of the logarithm of det M.

    Parameters
    ----------
    problem : Problem
        One measurement.
    means : tensor, shape (k, *shape)
    covariances : Covariance

    Returns
    -------
    means : tensor, shape (k, *shape), of the precision of `means`
    covariances : float64 tensor, shape (k, n, n), or (1, n, n) where they are shared
    log_evidence : float64 tensor, shape (k,)

    Raises
    ------
    CapabilityError, ShapeError
    """
    space = covariances.space
    _check(problem, space, covariances.count)
    problem = Problem(problem.operator, _double(problem.measurement), problem.noise)
    H = _curvature(problem, space)
    S = covariances.roots().to(H)
    m = _double(means).to(H).flatten(1)
    g = problem.backprojection.reshape(1, -1) - m @ H.mT
    L = torch.linalg.cholesky(torch.eye(space.size, dtype=H.dtype, device=H.device) + S.mH @ H @ S)
    half = torch.linalg.solve_triangular(L, S.mH, upper=False)
    # all means at once where the covariance is shared
    z = torch.linalg.solve_triangular(L.mH, _columns(half, g), upper=True)
    z = z[0].mT if covariances.count == 1 else z[..., 0]
    posterior = (m + (z @ S[0].mT if covariances.count == 1 else (S @ z[..., None])[..., 0])).reshape(
        means.shape
    )
    parts = 2 if space.field == "complex" else 1
    logdet = 2 * torch.log(L.diagonal(dim1=-2, dim2=-1).real).sum(-1)
    squares = torch.linalg.vector_norm(z, dim=-1).square()
    log_evidence = -problem.negative_log_likelihood(posterior) - squares / 2 - parts / 2 * logdet
    return posterior.to(means), half.mH @ half, log_evidence


def _columns(half: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """``L^-1 S.H g`` for each component, as columns."""
    return half @ (g.mT[None] if len(half) == 1 else g[..., None])


def _curvature(problem: Problem, space: Space) -> torch.Tensor:
    """``A.H W A`` as a matrix."""
    zeros, n = problem.zeros(), space.size
    units = torch.eye(n, dtype=zeros.dtype, device=zeros.device).reshape(n, *space.shape)
    rows = torch.cat([problem.normal(block).flatten(1) for block in units.split(_BLOCK)])
    return (rows.mT + rows.conj()) / 2


def _check(problem: Problem, space: Space, count: int) -> None:
    if not isinstance(problem.noise, Gaussian):
        given = "unknown" if problem.noise is None else type(problem.noise).__name__
        raise CapabilityError(
            f"An exact posterior needs Gaussian noise of known level; this noise is {given}."
        )
    if problem.linear_operator.domain != space:
        raise ShapeError(f"The prior's images are {space}; the operator's {problem.operator.domain}.")
    if problem.batch_shape:
        raise ShapeError(
            f"An exact posterior is that of one measurement; these have the batch axes "
            f"{tuple(problem.batch_shape)}. Take one Problem for each."
        )
    n = space.size
    if n > _PIXELS or count * n * n > _NUMBERS:
        raise CapabilityError(
            f"An exact posterior takes {count} matrices of {n} x {n}, too many numbers: at most {_PIXELS} "
            f"pixels and {_NUMBERS} numbers. Use a posterior sampler, or fewer components."
        )


def _double(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float64))
