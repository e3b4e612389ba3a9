"""Phase retrieval and saturation against their formulas, and their derivatives against autograd."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import (
    Blur,
    Fourier,
    GaussianMatrix,
    PhaseRetrieval,
    Radon,
    Saturation,
    random_codes,
)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(6, 5), (7,), (4, 3, 5)])
def test_magnitudes_are_those_of_the_centered_transform(shape):
    x, codes = normal(*shape, dtype=torch.complex128), random_codes(3, shape, seed=0)
    expected = Fourier(shape)(codes * x).abs()
    torch.testing.assert_close(PhaseRetrieval(shape, codes)(x), expected)
    torch.testing.assert_close(PhaseRetrieval(shape, codes, squared=True)(x), expected**2)
    torch.testing.assert_close(PhaseRetrieval(shape)(x), Fourier(shape)(x).abs()[None])


def test_intensities_of_an_oversampled_image_transform_to_its_autocorrelation():
    x = normal(5, 4)
    A = PhaseRetrieval((5, 4), oversampling=2, squared=True, field="real")
    assert A.range.shape == (1, 10, 8)
    # a unitary transform's square is one over the number of pixels of the plain one's
    correlation = torch.fft.ifft2(torch.fft.ifftshift(80 * A(x)[0])).real
    for i, j in ((0, 0), (1, 2), (4, 3)):
        torch.testing.assert_close(correlation[i, j], (x[i:, j:] * x[: 5 - i, : 4 - j]).sum())


def test_a_global_phase_a_shift_and_a_flip_do_not_show_without_codes():
    x = normal(6, 5, dtype=torch.complex128)
    A = PhaseRetrieval((6, 5))
    for twin in (x * (0.6 + 0.8j), x.roll((2, 1), (0, 1)), x.flip((0, 1)).conj()):
        torch.testing.assert_close(A(twin), A(x))
    coded = PhaseRetrieval((6, 5), random_codes(1, (6, 5), seed=0))
    torch.testing.assert_close(coded(x * (0.6 + 0.8j)), coded(x))
    assert (coded(x.roll(1, 0)) - coded(x)).abs().max() > 0.1


OPERATORS = {
    "magnitude": lambda: PhaseRetrieval((4, 3), random_codes(2, (4, 3), seed=0)),
    "intensity": lambda: PhaseRetrieval((4, 3), random_codes(2, (4, 3), seed=0), squared=True),
    "oversampled": lambda: PhaseRetrieval((3, 5), oversampling=2),
    "real": lambda: PhaseRetrieval((4, 3), random_codes(2, (4, 3), seed=0), field="real"),
    "saturation": lambda: Saturation((4, 5), -0.4, 0.6),
    "saturated blur": lambda: Saturation(Blur((4, 5), torch.ones(2, 2)), high=0.5),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_derivatives_are_those_of_autograd(name):
    A = OPERATORS[name]()
    x, v = (A.domain.random((2,), seed=i, dtype=torch.float64) for i in range(2))
    w = A.range.random((2,), seed=3, dtype=torch.float64)
    torch.testing.assert_close(A.jvp(x, v), torch.func.jvp(A._apply, (x,), (v,))[1])
    torch.testing.assert_close(A.vjp(x, w), torch.func.vjp(A._apply, x)[1](w)[0])
    leaf = x.clone().requires_grad_()
    (A(leaf) * w).sum().backward()
    torch.testing.assert_close(A.vjp(x, w), leaf.grad)
    assert torch.autograd.gradcheck(A, (x.clone().requires_grad_(),), check_forward_ad=True, fast_mode=True)


def test_where_nothing_is_the_derivative_of_a_magnitude_is_zero():
    for dtype in (torch.complex64, torch.complex128):
        zero = torch.zeros(4, 3, dtype=dtype)
        A = PhaseRetrieval((4, 3), random_codes(2, (4, 3), seed=0))
        w = torch.ones(2, 4, 3, dtype=dtype.to_real())
        assert not A.vjp(zero, w).any()
        assert not A.jvp(zero, zero + 1).any()
        leaf = zero.clone().requires_grad_()
        A(leaf).sum().backward()
        assert not leaf.grad.any()


@pytest.mark.parametrize("kind", ["octanary", "phase"])
def test_codes_have_mean_zero_and_mean_square_one(kind):
    d = random_codes(4, (100, 100), seed=0, kind=kind)
    bound = 5 / d.numel() ** 0.5
    assert abs(d.mean()) < bound
    # the variance of |d|^2: 0.8 / 4 + 0.2 * 9 - 1 = 1 for octanary codes, 0 for phases
    assert float(d.abs().square().mean()) == pytest.approx(1, abs=bound)
    assert abs((d**2).mean()) < bound * 3**0.5
    assert torch.equal(d, random_codes(4, (100, 100), seed=0, kind=kind))
    if kind == "octanary":
        assert len(torch.view_as_real(d).mul(1e6).round().reshape(-1, 2).unique(dim=0)) == 8


@pytest.mark.parametrize("squared", [False, True])
def test_wirtinger_flow_finds_the_image_up_to_its_phase(squared):
    """Gradient descent from the spectral start, Candes, Li and Soltanolkotabi (2015)."""
    shape = (8, 8)
    x = normal(*shape, dtype=torch.complex128)
    codes = random_codes(8, shape, seed=0)
    A = PhaseRetrieval(shape, codes, squared=squared)
    y, F = A(x), Fourier((8, *shape), axes=(-2, -1))
    intensity = y if squared else y**2
    z = normal(*shape, seed=5, dtype=torch.complex128)
    for _ in range(100):
        z = (codes.conj() * F.H(intensity * F(codes * z))).sum(0)
        z = z / z.norm()
    z = z * (intensity.sum() / 8) ** 0.5
    problem = ig.Problem(A, y)
    step = 0.2 / 8 / float(intensity.mean()) if squared else 0.5 / 8
    for _ in range(600):
        z = z - step * problem.gradient(z)
    phase = (z.conj() * x).sum().sgn()
    assert float((phase * z - x).norm() / x.norm()) < 1e-4


def test_saturation_clips_what_a_linear_operator_measures():
    A = Radon((8, 8), angles=5)
    x = normal(2, 8, 8)
    torch.testing.assert_close(Saturation(A, -1.0, 2.0)(x), A(x).clamp(-1.0, 2.0))
    assert Saturation(A, high=2.0).linear is A
    assert Saturation((3, 4), low=0.0)(normal(3, 4)).min() == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"codes of shape \(codes, 4, 4\); got \(4, 4\)"):
        PhaseRetrieval((4, 4), torch.ones(4, 4))
    with pytest.raises(ParameterError, match="NaN"):
        PhaseRetrieval((2,), torch.tensor([[math.nan, 1.0]]))
    for oversampling in (0, 1.5):
        with pytest.raises(ParameterError, match="oversampling is a whole number of at least 1"):
            PhaseRetrieval((4, 4), oversampling=oversampling)
    with pytest.raises(ParameterError, match="'octanary' or 'phase'"):
        random_codes(2, (4, 4), 0, "binary")
    with pytest.raises(ParameterError, match="count is a whole number"):
        random_codes(0, (4, 4), 0)
    with pytest.raises(ParameterError, match="low must be below high"):
        Saturation((3,), 1.0, 0.0)
    with pytest.raises(ParameterError, match="one of them finite"):
        Saturation((3,))
    with pytest.raises(ParameterError, match="real numbers"):
        Saturation(GaussianMatrix((3,), 2, seed=0, field="complex"), high=1.0)
