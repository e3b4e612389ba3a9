"""Blurs against SciPy, and their closed forms against linear algebra."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import Blur, kernels

SCIPY = {"circular": "wrap", "reflect": "reflect", "zero": "constant"}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def matrix(A):
    n = A.domain.size
    dtype = torch.float64 if A.domain.field == "real" else torch.complex128
    return A(torch.eye(n, dtype=dtype).reshape(n, *A.domain.shape)).reshape(n, -1).T


@pytest.mark.parametrize("boundary", SCIPY)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((9, 8), (3, 3)),
        ((8, 9), (4, 5)),
        ((16, 11), (1, 6)),
        ((6, 7), (6, 7)),
        ((5, 6, 7), (3, 2, 5)),
        ((12,), (4,)),
    ],
)
def test_blurs_are_those_of_scipy(boundary, shape, size):
    x, k = normal(*shape), normal(*size, seed=1)
    expected = scipy.ndimage.convolve(x.numpy(), k.numpy(), mode=SCIPY[boundary])
    np.testing.assert_allclose(Blur(shape, k, boundary)(x).numpy(), expected, atol=1e-12)


def test_zero_boundaries_give_the_same_part_of_the_full_convolution():
    x, k = normal(10, 13), normal(5, 3, seed=1)
    expected = scipy.signal.convolve2d(x.numpy(), k.numpy(), mode="same")
    np.testing.assert_allclose(Blur((10, 13), k, "zero")(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_kernels_larger_than_the_image_see_it_repeatedly(boundary):
    x, k = normal(4, 3), normal(9, 11, seed=1)
    wide = np.pad(x.numpy(), ((4, 4), (5, 5)), mode="wrap" if boundary == "circular" else "symmetric")
    expected = scipy.signal.convolve2d(wide, k.numpy(), mode="valid")
    np.testing.assert_allclose(Blur((4, 3), k, boundary)(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("boundary", SCIPY)
def test_a_kernel_of_one_pixel_scales_and_channels_do_not_mix(boundary):
    x = normal(3, 6, 5)
    torch.testing.assert_close(Blur((3, 6, 5), [[2.0]], boundary)(x), 2 * x)
    k = normal(3, 3, seed=1)
    whole, one = Blur((3, 6, 5), k, boundary), Blur((6, 5), k, boundary)
    assert torch.equal(whole(x), torch.stack([one(c) for c in x]))


def test_light_is_kept_where_nothing_leaves_the_image():
    x = normal(8, 9).abs()
    for boundary in ("circular", "reflect"):
        y = Blur((8, 9), kernels.gaussian_kernel(1.3), boundary)(x)
        torch.testing.assert_close(y.sum(), x.sum())


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
@pytest.mark.parametrize("shape", [(6, 5), (7, 8), (2, 4, 3)])
def test_solve_and_svd_are_those_of_the_matrix(boundary, shape):
    A = Blur(shape, kernels.gaussian_kernel((0.9, 0.6), truncate=2.0), boundary)
    M, b = matrix(A), normal(*shape)
    assert A.has_closed_form_solve
    for shift in (1e-3, 0.5):
        x = torch.linalg.solve(M.T @ M + shift * torch.eye(len(M), dtype=M.dtype), b.flatten())
        torch.testing.assert_close(A.solve(b, shift).flatten(), x, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(A.svd.s.flatten().sort(descending=True)[0], torch.linalg.svdvals(M))
    U, V = matrix(A.svd.U), matrix(A.svd.V)
    torch.testing.assert_close(U @ torch.diag(A.svd.s.flatten()) @ V.T, M, atol=1e-13, rtol=0)


def test_frequencies_that_a_kernel_removes_are_not_guessed():
    A = Blur((8, 6), torch.full((2, 2), 0.25))
    checkers = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(6)).double()
    assert A(checkers).abs().max() < 1e-15
    b = A.H(normal(8, 6))
    x = A.solve(b)
    torch.testing.assert_close(A.gram(x), b, atol=1e-12, rtol=0)
    assert (x * checkers).sum().abs() < 1e-10


def test_closed_forms_are_claimed_only_where_they_hold():
    even, skew = kernels.gaussian_kernel(1.0), kernels.motion_kernel(4.0, 0.5)
    assert Blur((9, 9), skew, "circular").has_closed_form_solve
    for kernel, boundary in ((skew, "reflect"), (even, "zero"), (torch.ones(2, 2), "reflect")):
        A = Blur((9, 9), kernel, boundary)
        assert not A.has_closed_form_solve
        assert A.svd is None
    assert Blur((9, 9), kernels.motion_kernel(4.0, 0.0), "reflect").has_closed_form_solve


@pytest.mark.parametrize("boundary", ["zero", "reflect"])
def test_iterative_solutions_are_the_linear_algebra_ones(boundary):
    A = Blur((9, 8), kernels.motion_kernel(3.0, 0.7), boundary)
    M, b = matrix(A), normal(9, 8)
    x = torch.linalg.solve(M.T @ M + 0.01 * torch.eye(72, dtype=M.dtype), b.flatten())
    torch.testing.assert_close(A.solve(b, 0.01).flatten(), x, atol=1e-9, rtol=1e-9)


def test_the_gaussian_is_that_of_scipy():
    x = normal(30, 25)
    expected = scipy.ndimage.gaussian_filter(x.numpy(), (1.5, 0.7), mode="reflect")
    y = Blur((30, 25), kernels.gaussian_kernel((1.5, 0.7)), "reflect")(x)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)
    assert kernels.gaussian_kernel(2.0, ndim=3).shape == (17, 17, 17)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.7])
def test_gaussians_are_symmetric_to_the_bit_and_of_sum_one(sigma):
    k = kernels.gaussian_kernel(sigma)
    assert torch.equal(k, k.flip(0))
    assert torch.equal(k, k.flip(1))
    assert k.sum().item() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2, 2.4])
def test_motion_has_its_length_and_direction(angle):
    k = kernels.motion_kernel(15.0, angle)
    r = torch.arange(len(k), dtype=torch.float64) - len(k) // 2
    x, y = r[None, :], -r[:, None]
    assert k.sum().item() == pytest.approx(1, abs=1e-14)
    assert (k >= 0).all()
    torch.testing.assert_close(k, k.flip((0, 1)))
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    # a segment's variance, and what sharing a point by its four pixels adds to it: at most a quarter
    assert 15**2 / 12 - 0.01 < (k * along**2).sum() < 15**2 / 12 + 0.25
    assert (k * across**2).sum() < 0.26


@pytest.mark.parametrize(("angle", "elevation"), [(0.3, 0.0), (0.3, 0.7), (2.0, -1.1), (0.0, math.pi / 2)])
def test_motion_through_a_volume_has_its_length_and_direction(angle, elevation):
    k = kernels.motion_kernel(15.0, angle, elevation)
    r = torch.arange(len(k), dtype=torch.float64) - len(k) // 2
    position = torch.stack(torch.broadcast_tensors(r[None, None], -r[None, :, None], r[:, None, None]))
    direction = torch.tensor(
        [math.cos(angle) * math.cos(elevation), math.sin(angle) * math.cos(elevation), math.sin(elevation)],
        dtype=torch.float64,
    )
    along = torch.einsum("a,aijk->ijk", direction, position)
    assert k.sum().item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(k, k.flip((0, 1, 2)))
    # as in the plane; each of the three axes adds at most a quarter
    assert 15**2 / 12 - 0.01 < (k * along**2).sum() < 15**2 / 12 + 0.25
    assert (k * (position.square().sum(0) - along**2)).sum() < 0.51


def test_motion_within_the_plane_of_a_volume_is_that_of_images():
    k, flat = kernels.motion_kernel(6.0, 0.4, elevation=0.0), kernels.motion_kernel(6.0, 0.4)
    torch.testing.assert_close(k[len(k) // 2], flat)
    assert k.sum().item() == pytest.approx(float(k[len(k) // 2].sum()))


def test_no_motion_is_no_blur():
    assert kernels.motion_kernel(0.0, 1.0).tolist() == [[1.0]]
    assert kernels.motion_kernel(0.0, 1.0, 0.5).tolist() == [[[1.0]]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="does not fit"):
        Blur((5,), torch.ones(3, 3))
    with pytest.raises(ShapeError, match="does not fit"):
        Blur((5, 5), torch.ones(0, 3))
    with pytest.raises(ParameterError, match="'circular', 'reflect' or 'zero'"):
        Blur((5, 5), torch.ones(3, 3), "wrap")
    with pytest.raises(ParameterError, match="field='complex'"):
        Blur((5, 5), torch.ones(3, 3) * 1j)
    with pytest.raises(ParameterError, match="NaN"):
        Blur((5, 5), [[float("nan")]])
    with pytest.raises(ParameterError, match="positive"):
        kernels.gaussian_kernel(0.0)
    with pytest.raises(ParameterError, match="do not fit"):
        kernels.gaussian_kernel((1.0, 2.0), ndim=3)
    with pytest.raises(ParameterError, match="negative"):
        kernels.motion_kernel(-1.0, 0.0)
    with pytest.raises(ParameterError, match="finite"):
        kernels.motion_kernel(1.0, 0.0, math.inf)
