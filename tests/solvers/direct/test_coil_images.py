"""Images of coils and their combination, and what maps with zeros do."""

import pytest
import torch

from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian
from invgen.operators import MRI, Fourier, Radon
from invgen.problem import Problem
from invgen.solvers import CG, RootSumOfSquares, ZeroFilled

SHAPES = [(9, 8), (6, 7), (3, 4, 5)]


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lines(n):
    return torch.arange(n) % 2 == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_root_sum_of_squares_is_the_formula_whatever_the_maps(shape):
    y = normal(4, *shape) * lines(shape[-1])
    images = torch.stack([Fourier(shape).H(one) for one in y])
    expected = images.abs().square().sum(0).sqrt().to(y.dtype)
    for maps in (normal(4, *shape, seed=1), torch.zeros(4, *shape)):
        torch.testing.assert_close(
            RootSumOfSquares()(Problem(MRI(shape, lines(shape[-1]), maps), y)).x, expected
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_of_a_full_scan_the_root_sum_of_squares_is_the_magnitude_times_that_of_the_maps(shape):
    x, maps = normal(2, *shape), normal(3, *shape, seed=1)
    A = MRI(shape, True, maps)
    expected = x.abs() * maps.abs().square().sum(0).sqrt()
    torch.testing.assert_close(RootSumOfSquares()(Problem(A, A(x))).x, expected.to(x.dtype))


def test_a_single_coil_has_its_magnitude_and_its_inverse_transform():
    y = normal(6, 7) * lines(7)
    problem = Problem(MRI((6, 7), lines(7)), y)
    torch.testing.assert_close(ZeroFilled()(problem).x, Fourier((6, 7)).H(y))
    torch.testing.assert_close(RootSumOfSquares()(problem).x, Fourier((6, 7)).H(y).abs().to(y.dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_filling_is_the_adjoint_over_the_power_of_the_maps(shape):
    maps = normal(3, *shape, seed=1)
    A = MRI(shape, lines(shape[-1]), maps)
    y = A.range.random(seed=2, dtype=torch.float64)
    expected = A.H(y) / maps.abs().square().sum(0)
    torch.testing.assert_close(ZeroFilled()(Problem(A, y)).x, expected)


@pytest.mark.parametrize("scale", [1e-22, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_full_scan_gives_the_image_where_coils_see_it(dtype, scale):
    x, maps = normal(7, 8, dtype=dtype), scale * normal(3, 7, 8, seed=1)
    maps[:, 2:4] = 0
    weights = 0.5 + torch.rand(7, 8, generator=torch.Generator().manual_seed(0))  # values are restored
    A = MRI((7, 8), weights, maps)
    got = ZeroFilled()(Problem(A, A(x))).x
    x[2:4] = 0
    torch.testing.assert_close(got, x)


def test_samples_outside_of_the_mask_are_not_looked_at():
    A = MRI((6, 8), lines(8), normal(2, 6, 8, seed=1))
    y = normal(2, 6, 8)
    for solver in (RootSumOfSquares(), ZeroFilled()):
        assert torch.equal(solver(Problem(A, y)).x, solver(Problem(A, y * lines(8))).x)


@pytest.mark.parametrize("solver", [RootSumOfSquares(), ZeroFilled()], ids=["rss", "zero-filled"])
@pytest.mark.parametrize("coils", [None, 3])
def test_a_batch_equals_its_elements_to_the_bit(solver, coils):
    A = MRI((15, 17), lines(17), None if coils is None else normal(coils, 15, 17, seed=1))
    y = A.range.random((2, 3), seed=0, dtype=torch.float32)
    batch = solver(Problem(A, y)).x
    assert batch.shape == (2, 3, 15, 17)
    assert all(torch.equal(batch[i, j], solver(Problem(A, y[i, j])).x) for i in range(2) for j in range(3))


def test_operators_without_cartesian_k_space_are_refused_with_what_to_use():
    A = Radon((8, 8), angles=6)
    for solver in (RootSumOfSquares(), ZeroFilled()):
        with pytest.raises(CapabilityError, match="Gridding"):
            solver(Problem(A, torch.zeros(A.range.shape)))


@pytest.mark.parametrize("weight", ["auto", 0, 0.1])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_conjugate_gradients_leave_pixels_that_no_coil_sees_at_zero(dtype, weight):
    maps = normal(3, 10, 12, seed=1)
    maps[:, :4] = 0
    maps[:2, :, 3] = 0
    A = MRI((10, 12), lines(12), maps)
    noise = Gaussian(0.05)
    y = noise.sample(A(normal(10, 12, dtype=dtype)), seed=0)
    x = CG(weight=weight)(Problem(A, y, noise)).x
    assert bool(torch.isfinite(x).all())
    assert float(x[:4].abs().max()) < 1e-5 * float(x.abs().max())  # what rounding leaves of the convolution
    assert float(x[4:].abs().min()) > 0


def test_maps_that_see_nothing_give_nothing():
    """Such as those of a slice of air in a volume."""
    A = MRI((6, 8), lines(8), torch.zeros(2, 6, 8))
    problem = Problem(A, normal(2, 6, 8))
    for solver in (CG(), CG(weight=1.0), ZeroFilled()):
        assert not bool(solver(problem).x.any())


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_direct_methods_do_not_diverge_whatever_the_scale_of_the_maps(scale):
    """The residual, which has that scale, is no measure for a method that looks at the data alone."""
    y, maps = normal(2, 6, 8), normal(2, 6, 8, seed=1)
    expected, got = (
        RootSumOfSquares()(Problem(MRI((6, 8), lines(8), factor * maps), y)).x for factor in (1, scale)
    )
    assert torch.equal(got, expected)
