"""The data's step against the explicit solution of its normal equations."""

import pytest
import torch

import invgen as ig
from invgen.operators import Blur, Downsample, GaussianMatrix, Mask, MatrixOperator, Radon, kernels, masks
from invgen.solvers.data_prox import DataProx

SHAPE = (8, 8)


OPERATORS = [
    Mask(masks.random_pixels(SHAPE, 0.5, seed=0)),
    Downsample(SHAPE, 2),
    Blur(SHAPE, kernels.gaussian_kernel(0.7)),
    Blur(SHAPE, kernels.gaussian_kernel(0.7), boundary="zero"),
    GaussianMatrix(SHAPE, 20, seed=0),
    Radon(SHAPE, angles=6),
]


def matrix_of(A):
    units = torch.eye(A.domain.size, dtype=torch.float64).reshape(-1, *A.domain.shape)
    return A(units).flatten(1).mT


def random(*shape, seed, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("A", OPERATORS, ids=lambda A: A.name)
def test_the_move_solves_the_normal_equations(A):
    M, std, rho = matrix_of(A), 0.1, torch.tensor([0.5, 40.0], dtype=torch.float64)
    y, e, z = (random(2, *shape, seed=k) for k, shape in enumerate((A.range.shape, A.range.shape, SHAPE)))
    problem = ig.Problem(A, y, ig.noise.Gaussian(std))
    found = DataProx(problem, 1e-6).move(z, rho, e=e)
    for k in range(2):
        seen = y[k] + e[k]
        if A.observed is not None:
            seen = torch.where(A.observed, seen, 0)
        H = M.mT @ M / std**2 + rho[k] * torch.eye(64, dtype=torch.float64)
        expected = torch.linalg.solve(H, M.mT @ (seen.flatten() - M @ z[k].flatten()) / std**2)
        torch.testing.assert_close(found[k].flatten(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("A", [A for A in OPERATORS if A.svd is not None], ids=lambda A: A.name)
def test_a_weak_pull_leaves_the_null_space_alone_in_single_precision(A):
    """To divide by the pull what rounding leaves there once made chains of Langevin dynamics diverge."""
    y, z = (random(1, *shape, seed=k) for k, shape in enumerate((A.range.shape, SHAPE)))
    rho = torch.tensor([1e-6], dtype=torch.float64)
    exact, single = (
        DataProx(ig.Problem(A, y.to(dtype), ig.noise.Gaussian(1e-3))).move(z.to(dtype), rho.to(dtype))
        for dtype in (torch.float64, torch.float32)
    )
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("precision", [0.1, 0.01, 0.001])
def test_the_precision_counts_in_standard_deviations_of_every_direction(precision):
    A = Radon((16, 16), angles=6)
    M = matrix_of(A)
    y, z = A(random(16, 16, seed=0).abs())[None], torch.zeros(1, 16, 16, dtype=torch.float64)
    for rho in (1.0, 100.0):
        problem = ig.Problem(A, y, ig.noise.Gaussian(0.1))
        H = M.mT @ M / 0.1**2 + rho * torch.eye(256, dtype=torch.float64)
        expected = torch.linalg.solve(H, M.mT @ y.flatten() / 0.1**2)
        found = DataProx(problem, precision)(z, torch.tensor([rho], dtype=torch.float64))
        off = found.flatten() - expected
        # an estimate, from how the last steps became shorter
        assert float((off @ H @ off / 256).sqrt()) < 10 * precision


def test_the_matrix_and_its_operator_move_alike():
    A = Downsample(SHAPE, 2)
    y, z, rho = random(1, 4, 4, seed=0), random(1, *SHAPE, seed=1), torch.tensor([3.0], dtype=torch.float64)
    B = MatrixOperator(matrix_of(A), SHAPE)
    ours, theirs = (
        DataProx(ig.Problem(op, data, ig.noise.Gaussian(0.1))).move(z, rho)
        for op, data in ((A, y), (B, y.flatten(1)))
    )
    torch.testing.assert_close(ours, theirs)
