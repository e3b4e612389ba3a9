"""Gaussian matrices and the single-pixel camera."""

import numpy as np
import pytest
import scipy.linalg
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import GaussianMatrix, MatrixOperator, SinglePixel, basic


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def matrix(A):
    n = A.domain.size
    dtype = torch.float64 if A.domain.field == "real" else torch.complex128
    return A(torch.eye(n, dtype=dtype).reshape(n, *A.domain.shape)).reshape(n, -1).T


@pytest.mark.parametrize("field", ["real", "complex"])
def test_entries_have_mean_zero_and_variance_one_over_m(field):
    M = matrix(GaussianMatrix((10, 30), 200, seed=0, field=field))
    count = M.numel()
    assert abs(M.mean()) < 5 / (200 * count) ** 0.5
    assert float(M.abs().square().mean() * 200) == pytest.approx(1, abs=5 * (2 / count) ** 0.5)
    if field == "complex":  # circular: real and imaginary parts alike and independent
        assert abs((M**2).mean()) * 200 < 5 * (2 / count) ** 0.5


def test_lengths_are_kept_on_average():
    x = normal(2000, 8, 8)
    ratio = GaussianMatrix((8, 8), 40, seed=1)(x).square().sum(-1) / x.square().sum((-1, -2))
    # of one matrix, whose squared Frobenius norm fluctuates by sqrt(2 / (40 * 64))
    assert float(ratio.mean()) == pytest.approx(1, abs=5 * (2 / 2560) ** 0.5)


def test_a_seed_gives_the_same_matrix_in_every_precision():
    A = GaussianMatrix((3, 4), 5, seed=0)
    single = A(torch.eye(12).reshape(12, 3, 4)).T
    assert torch.equal(single, matrix(A).float())
    assert torch.equal(matrix(A), matrix(GaussianMatrix((3, 4), 5, seed=0)))
    assert not torch.equal(matrix(A), matrix(GaussianMatrix((3, 4), 5, seed=1)))


@pytest.mark.parametrize("field", ["real", "complex"])
def test_closed_forms_are_those_of_the_matrix(field):
    A = GaussianMatrix((4, 5), 9, seed=0, field=field)
    M, y = matrix(A), normal(9, dtype=matrix(A).dtype)
    torch.testing.assert_close(A.pinv(y).flatten(), torch.linalg.pinv(M) @ y)
    U, V = matrix(A.svd.U), matrix(A.svd.V)
    rebuilt = U @ torch.diag(A.svd.s).to(U) @ V.mH
    torch.testing.assert_close(rebuilt, M, atol=1e-14, rtol=0)


def test_a_matrix_too_large_for_its_svd_is_solved_by_iteration(monkeypatch):
    monkeypatch.setattr(basic, "LARGEST_SVD", 100)
    A, small = GaussianMatrix((4, 5), 9, seed=0), MatrixOperator(normal(4, 5))
    assert small.has_closed_form_solve
    assert not A.has_closed_form_solve
    assert A.svd is None
    M, b = matrix(A), normal(4, 5)
    x = torch.linalg.solve(M.T @ M + 0.3 * torch.eye(20, dtype=M.dtype), b.flatten())
    torch.testing.assert_close(A.solve(b, 0.3).flatten(), x, atol=1e-10, rtol=1e-10)
    assert A.norm() == pytest.approx(float(torch.linalg.matrix_norm(M, 2)), rel=1e-8)


def test_what_no_memory_holds_is_refused_before_it_is_asked_for():
    with pytest.raises(ParameterError, match=r"2048 GiB.*SubsampledTransform\(\(1024, 1024\), 262144\)"):
        GaussianMatrix((1024, 1024), 2**18, seed=0)
    for m in (0, -1, 2.0):
        with pytest.raises(ParameterError, match="positive number of measurements"):
            GaussianMatrix((4, 4), m, seed=0)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16,), (2, 4, 4)])
def test_a_camera_shows_hadamard_patterns_of_zeros_and_ones_once_each(shape):
    P = matrix(SinglePixel(shape, int(np.prod(shape))))
    n = len(P)
    assert set(P.flatten().tolist()) == {0.0, 1.0}
    assert bool((P[0] == 1).all())
    H = (scipy.linalg.hadamard(n) + 1) / 2
    assert sorted(map(tuple, P.tolist())) == sorted(map(tuple, H.tolist()))
    # every other pattern shows half of the pixels
    assert P[1:].sum(1).tolist() == [n / 2] * (n - 1)


def test_patterns_come_in_the_order_of_the_pieces_they_cut_the_image_into():
    skimage = pytest.importorskip("skimage.measure")
    P = matrix(SinglePixel((8, 16), 128)).reshape(128, 8, 16)
    pieces = [int(skimage.label(p.numpy().astype(int) + 1, connectivity=1).max()) for p in P]
    assert pieces == sorted(pieces)
    assert pieces[:4] == [1, 2, 2, 3]
    assert pieces[-1] == 128


@pytest.mark.parametrize("patterns", ["hadamard", "random"])
def test_differences_are_those_to_the_complement(patterns):
    A = SinglePixel((4, 8), 20, patterns, seed=2)
    B = SinglePixel((4, 8), 20, patterns, seed=2, differential=True)
    assert A.nonnegative
    assert not B.nonnegative
    torch.testing.assert_close(matrix(B), 2 * matrix(A) - 1, atol=0, rtol=0)


def test_random_patterns_show_half_of_the_pixels_and_follow_their_seed(monkeypatch):
    A = SinglePixel((20, 30), 40, "random")
    P = matrix(A)
    assert set(P.flatten().tolist()) == {0.0, 1.0}
    assert float(P.mean()) == pytest.approx(0.5, abs=2.5 / P.numel() ** 0.5)
    assert torch.equal(P, matrix(SinglePixel((20, 30), 40, "random", seed=0)))
    assert not torch.equal(P, matrix(SinglePixel((20, 30), 40, "random", seed=1)))
    x, y = normal(20, 30), normal(40)
    expected = A(x), A.H(y)
    # a few rows at a time, as large sets of patterns are multiplied
    monkeypatch.setattr("invgen.operators.sensing.patterns._BLOCK", 4200)
    torch.testing.assert_close((A(x), A.H(y)), expected)


@pytest.mark.parametrize("m", [1, 2, 3, 17, 32])
def test_the_decomposition_of_ones_and_zeros_is_the_lapack_one(m):
    A = SinglePixel((4, 8), m)
    M, y, b = matrix(A), normal(m), normal(4, 8)
    torch.testing.assert_close(A.svd.s.sort(descending=True)[0], torch.linalg.svdvals(M))
    torch.testing.assert_close(A.pinv(y).flatten(), torch.linalg.pinv(M) @ y, atol=1e-13, rtol=1e-10)
    x = torch.linalg.solve(M.T @ M + 0.7 * torch.eye(32, dtype=M.dtype), b.flatten())
    torch.testing.assert_close(A.solve(b, 0.7).flatten(), x, atol=1e-12, rtol=1e-11)
    assert A.norm() == pytest.approx(float(torch.linalg.matrix_norm(M, 2)), rel=1e-12)


def test_all_patterns_give_the_image_back():
    x = normal(16, 16)
    A = SinglePixel((16, 16), 256)
    torch.testing.assert_close(A.pinv(A(x)), x, atol=1e-12, rtol=0)


def test_patterns_that_do_not_exist_are_refused():
    with pytest.raises(ParameterError, match="'hadamard' or 'random'"):
        SinglePixel((4, 4), 3, "fourier")
    with pytest.raises(ParameterError, match="1 to 16 hadamard patterns"):
        SinglePixel((4, 4), 17)
    with pytest.raises(ParameterError, match="random patterns of 16 pixels; got m=0"):
        SinglePixel((4, 4), 0, "random")
    with pytest.raises(ParameterError, match="1 to 2048 random patterns"):
        SinglePixel((1024, 1024), 10**6, "random")
    with pytest.raises(ShapeError, match="powers of two"):
        SinglePixel((4, 5), 3)
