"""Gaussian problems that the tests of particles share."""

import torch

import invgen as ig
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian

SHAPE = (2, 4)


def correlated(field="real"):
    """Images in which neighbors are alike."""
    places = torch.stack(torch.meshgrid(*map(torch.arange, SHAPE), indexing="ij"), -1).reshape(-1, 2).double()
    mean = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(SHAPE)
    mean = mean if field == "real" else torch.complex(mean, -mean)
    return Gaussian(mean, torch.exp(-torch.cdist(places, places) / 2).to(mean.dtype))


def dense(field="real", seed=1):
    dtype = torch.float64 if field == "real" else torch.complex128
    matrix = torch.randn(4, 8, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return MatrixOperator(matrix / 8**0.5, SHAPE)


def measured(A, prior, std=0.3, seed=0):
    noise = ig.noise.Gaussian(std)
    return ig.Problem(A, noise.sample(A(prior.sample(1, seed)[0]), seed), noise)


def explicit(A):
    """The operator's matrix."""
    dtype = torch.complex128 if A.domain.field == "complex" else torch.float64
    return A(torch.eye(A.domain.size, dtype=dtype).reshape(-1, *A.domain.shape)).flatten(1).mT


def evidence(problem, prior):
    """Logarithm of the mean of ``exp(-negative_log_likelihood)`` over a Gaussian prior's images."""
    A, C, w = explicit(problem.operator), prior.covariance(), float(problem.uniform_weight)
    S = torch.eye(len(A), dtype=A.dtype) / w + A @ C.to(A.dtype) @ A.mH
    r = (problem.measurement - problem.operator(prior.mean())).flatten()
    parts = 2 if A.is_complex() else 1
    square = torch.vdot(r, torch.linalg.solve(S, r)).real
    return float(-square / 2 - parts / 2 * torch.linalg.slogdet(w * S).logabsdet)
