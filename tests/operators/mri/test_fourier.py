"""The centred transform against NumPy's, shifted explicitly."""

import numpy as np
import pytest
import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.operators import Fourier

SHAPES = [(8, 6), (7, 9), (6, 9), (5, 8), (1, 7), (12,), (11,), (3, 4, 5), (4, 3, 6)]


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def centred(x, axes):
    """The definition: shift, transform, shift."""
    shifted = np.fft.ifftshift(np.asarray(x), axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.complex64, 1e-6), (torch.complex128, 1e-14)])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_numpys_transform_between_two_shifts(shape, dtype, bound):
    x, axes = normal(*shape, dtype=dtype), tuple(range(-len(shape), 0))
    y = Fourier(shape)(x)
    assert y.dtype == dtype
    assert np.abs(y.numpy() - centred(x, axes)).max() <= bound * float(x.abs().max()) * 4


@pytest.mark.parametrize("axes", [(0,), (1,), (-1,), (0, 2), (-1, -2)])
def test_it_transforms_the_axes_that_are_asked_for(axes):
    x = normal(4, 5, 6)
    np.testing.assert_allclose(Fourier((4, 5, 6), axes)(x).numpy(), centred(x, axes), atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_unitary(shape):
    F, x = Fourier(shape), normal(3, *shape)
    torch.testing.assert_close(F.H(F(x)), x, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(F(F.H(x)), x, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(F.domain.norm(F(x)), F.domain.norm(x))
    assert F.norm() == 1
    assert torch.equal(F.gram(x), x)


def test_a_point_in_the_middle_has_a_constant_spectrum():
    for shape in [(8, 6), (7, 5), (6, 7)]:
        x = torch.zeros(shape, dtype=torch.complex128)
        x[shape[0] // 2, shape[1] // 2] = 1
        expected = torch.full(shape, (shape[0] * shape[1]) ** -0.5, dtype=torch.complex128)
        torch.testing.assert_close(Fourier(shape)(x), expected)
        torch.testing.assert_close(Fourier(shape).H(x), expected)


def test_a_constant_image_is_a_point_in_the_middle_of_k_space():
    y = Fourier((7, 8))(torch.ones(7, 8, dtype=torch.complex128))
    assert y[3, 4].real == pytest.approx(56**0.5)
    y[3, 4] = 0
    assert float(y.abs().max()) < 1e-13


@pytest.mark.parametrize("n", [8, 9])
def test_a_shift_of_the_image_is_a_linear_phase_without_an_offset(n):
    F, x = Fourier((4, n)), normal(4, n)
    k = torch.arange(n, dtype=torch.float64) - n // 2
    phase = torch.polar(torch.ones(n, dtype=torch.float64), -2 * torch.pi * k * 3 / n)
    torch.testing.assert_close(F(x.roll(3, -1)), phase * F(x))


def test_a_real_even_image_has_a_real_spectrum():
    n = 9
    x = torch.exp(-((torch.arange(n, dtype=torch.float64) - n // 2) ** 2) / 3).to(torch.complex128)
    assert float(Fourier((n,))(x).imag.abs().max()) < 1e-15


def test_a_batch_equals_its_elements_to_the_bit():
    for dtype in (torch.complex64, torch.complex128):
        F, x = Fourier((15, 17)), normal(2, 3, 15, 17, dtype=dtype)
        for operator in (F, F.H):
            y = operator(x)
            assert all(torch.equal(y[i, j], operator(x[i, j])) for i in range(2) for j in range(3))


def test_errors_say_what_is_expected():
    with pytest.raises(ParameterError, match="2 dimensions"):
        Fourier((4, 4), axes=(2,))
    with pytest.raises(ParameterError, match="each axis once"):
        Fourier((4, 4), axes=(0, -2))
    with pytest.raises(ParameterError, match="at least one"):
        Fourier((4, 4), axes=())
    with pytest.raises(DtypeError, match="complex64"):
        Fourier((4, 4))(torch.zeros(4, 4))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4, 4\)"):
        Fourier((4, 4))(torch.zeros(4, 5, dtype=torch.complex64))
