"""Cartesian MRI against the plain formula."""

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.core.krylov import conjugate_gradients
from invgen.operators import MRI, Fourier

#: Shapes of images and of masks that broadcast to them.
CASES = [
    ((8, 6), (6,)),
    ((7, 9), (9,)),
    ((7, 9), (1, 9)),
    ((9, 6), (9, 1)),
    ((6, 7), (6, 7)),
    ((5, 6), ()),
    ((4, 5, 6), (6,)),
    ((4, 5, 6), (5, 6)),
    ((4, 5, 6), (4, 5, 1)),
    ((5, 4, 6), (4, 1)),
    ((4, 5, 6), (4, 1, 6)),
    ((3, 4, 5), (3, 4, 5)),
]


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draw(shape, part, seed=1):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < part
    mask.view(-1)[0] = True
    return mask


def plain(x, mask, maps):
    """The definition, by NumPy and explicit shifts."""
    axes = tuple(range(-mask.ndim, 0))
    z = np.fft.ifftshift(x.numpy() if maps is None else (maps * x).numpy(), axes=axes)
    return mask.numpy() * np.fft.fftshift(np.fft.fftn(z, axes=axes, norm="ortho"), axes=axes)


@pytest.mark.parametrize("part", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("coils", [None, 1, 3])
@pytest.mark.parametrize(("shape", "mask_shape"), CASES)
def test_it_is_the_plain_formula(shape, mask_shape, coils, part):
    mask = draw(mask_shape, part)
    maps = None if coils is None else normal(coils, *shape, seed=2)
    A, x = MRI(shape, mask, maps), normal(*shape)
    whole = mask.expand(shape)
    np.testing.assert_allclose(A(x).numpy(), plain(x, whole, maps), atol=1e-13)
    assert not bool(A(x)[..., ~whole].any())


@pytest.mark.parametrize(("shape", "mask_shape"), CASES)
def test_the_adjoint_sums_over_the_coils(shape, mask_shape):
    mask, maps = draw(mask_shape, 0.4), normal(3, *shape, seed=2)
    A, F = MRI(shape, mask, maps), Fourier(shape)
    y = normal(3, *shape)
    expected = sum(maps[c].conj() * F.H(mask * y[c]) for c in range(3))
    torch.testing.assert_close(A.H(y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("shape", "mask_shape"), CASES)
def test_the_gram_of_real_masks_is_forward_and_adjoint(shape, mask_shape, dtype):
    weights = torch.rand(mask_shape, generator=torch.Generator().manual_seed(3)) * draw(mask_shape, 0.5)
    for maps in (None, normal(2, *shape)):
        A = MRI(shape, weights, maps)
        x = A.domain.random((2,), seed=0, dtype=dtype)
        torch.testing.assert_close(A.gram(x), A.H(A(x)), rtol=1e-4, atol=1e-5)


def test_several_coils_are_single_coils_side_by_side():
    mask, maps = draw((9,), 0.5), normal(3, 6, 9)
    x = normal(6, 9)
    y = MRI((6, 9), mask, maps)(x)
    for c in range(3):
        torch.testing.assert_close(y[c], MRI((6, 9), mask)(maps[c] * x))


@pytest.mark.parametrize("together", [1, 2])
def test_pieces_of_the_coils_change_nothing(together, monkeypatch):
    shape = (8, 9)
    A, x = MRI(shape, draw((9,), 0.5), normal(5, *shape, seed=2)), normal(2, *shape)
    y = A(x)
    expected = y, A.H(y), A.gram(x)
    monkeypatch.setattr("invgen.operators.mri.sensitivities._CHUNK", together * x[0].numel() * x.itemsize)
    for found, of_all in zip((A(x), A.H(y), A.gram(x)), expected, strict=True):
        torch.testing.assert_close(found, of_all, rtol=0, atol=1e-13)


def test_lines_are_what_the_same_mask_of_points_gives():
    mask = draw((16,), 0.3)
    lines, points = MRI((12, 16), mask), MRI((12, 16), mask.expand(12, 16).clone())
    x = normal(12, 16)
    assert torch.equal(lines(x), points(x))


def test_a_fully_sampled_normalized_array_of_coils_returns_the_image():
    maps = normal(4, 7, 8)
    maps = maps / maps.abs().square().sum(0).sqrt()
    A, x = MRI((7, 8), True, maps), normal(7, 8)
    torch.testing.assert_close(A.H(A(x)), x)
    torch.testing.assert_close(A.gram(x), x)
    assert A.norm() == pytest.approx(1)


def test_the_norm_of_a_single_coil_is_its_largest_weight():
    assert MRI((5, 6), torch.tensor([0, 0.5, 2, 1, 0, 1])).norm() == 2


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_maps_bound_the_norm_and_where_the_middle_of_kspace_is_sampled_closely(weight):
    place = torch.linspace(-1, 1, 24, dtype=torch.float64)
    # smooth maps that are not normalized
    maps = torch.stack(
        [torch.exp(-((place[:, None] - a) ** 2 + (place - b) ** 2)) for a in (-1, 1) for b in (-1, 1)]
    )
    mask = torch.zeros(24, dtype=torch.float64)
    mask[::3] = mask[9:15] = weight
    A = MRI((24, 24), mask, 5 * maps.to(torch.complex128))
    assert A.norm() <= A.norm_bound() * (1 + 1e-12)
    # what the middle of k-space holds of the brightest place: some tenth is lost at its edge
    assert A.norm() >= 0.9 * A.norm_bound()


def test_the_pseudo_inverse_is_zero_filling():
    mask = draw((6, 7), 0.5)
    A, y = MRI((6, 7), mask), normal(6, 7)
    torch.testing.assert_close(A.pinv(y), Fourier((6, 7)).H(mask * y))


def test_solving_for_several_coils_recovers_what_one_coil_cannot():
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 16), indexing="ij")
    centres = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    maps = torch.stack([torch.exp(-((rows - r) ** 2 + (columns - c) ** 2)) for r, c in centres]).double()
    mask = torch.zeros(16, dtype=torch.bool)
    mask[::2] = True
    A, x = MRI((12, 16), mask, maps.to(torch.complex128)), normal(12, 16)
    torch.testing.assert_close(A.pinv(A(x)), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("coils", [None, 3])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_batch_equals_its_elements_to_the_bit(coils, dtype):
    maps = None if coils is None else normal(coils, 15, 17)
    for mask in (draw((17,), 0.3), draw((15, 17), 0.3), True):
        A = MRI((15, 17), mask, maps)
        x, y = normal(5, 15, 17, dtype=dtype), normal(5, *A.range.shape, dtype=dtype)
        for operator, data in ((A, x), (A.H, y), (A.gram, x)):
            batch = operator(data)
            assert all(torch.equal(batch[i], operator(data[i])) for i in range(5))
        if coils is None:
            shift = torch.rand(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            batch = A.solve(x, shift)
            assert all(torch.equal(batch[i], A.solve(x[i], shift[i])) for i in range(5))


def test_data_of_another_memory_layout_give_the_same_bits():
    A = MRI((12, 10), draw((10,), 0.4), normal(2, 12, 10))
    x = normal(10, 12).T
    assert not x.is_contiguous()
    assert torch.equal(A(x), A(x.contiguous()))
    assert torch.equal(A.gram(x), A.gram(x.contiguous()))


def test_the_mask_and_the_maps_are_the_operators_own():
    mask, maps = torch.ones(6, dtype=torch.bool), normal(2, 5, 6)
    A = MRI((5, 6), mask, maps)
    A.mask.zero_()
    A.coils.zero_()
    mask.zero_()
    assert bool(A.mask.all())
    assert torch.equal(A.coils, maps)
    assert A.coil_count == 2
    assert MRI((5, 6), True).coils is None


def test_a_solver_takes_complex_images():
    x = torch.zeros(16, 16, dtype=torch.complex64)
    x[4:11, 5:12] = 1 - 0.5j
    A = MRI((16, 16), draw((16, 16), 0.6))
    reconstruction = ig.solvers.CG()(ig.Problem(A, A(x)))
    assert reconstruction.x.dtype == torch.complex64


def test_errors_say_what_is_expected():
    with pytest.raises(ShapeError, match=r"For lines give \(6,\)"):
        MRI((5, 6), torch.ones(5))
    with pytest.raises(ShapeError, match="broadcasts"):
        MRI((5, 6), torch.ones(2, 5, 6))
    with pytest.raises(ShapeError, match=r"\(H, W\) or \(D, H, W\)"):
        MRI((6,), torch.ones(6))
    with pytest.raises(DtypeError, match="complex"):
        MRI((5, 6), torch.ones(6, dtype=torch.complex64))
    with pytest.raises(DataError, match="not negative"):
        MRI((5, 6), -torch.ones(6))
    with pytest.raises(DataError, match="finite weights"):
        MRI((5, 6), torch.full((6,), torch.nan))
    with pytest.raises(ParameterError, match="samples nothing"):
        MRI((5, 6), torch.zeros(6))
    with pytest.raises(ShapeError, match=r"\(coils, 5, 6\)"):
        MRI((5, 6), True, normal(2, 6, 5))
    with pytest.raises(ShapeError, match="coil maps"):
        MRI((5, 6), True, normal(5, 6))
    with pytest.raises(DataError, match="coil maps"):
        MRI((5, 6), True, torch.full((1, 5, 6), torch.inf, dtype=torch.complex64))
    with pytest.raises(DtypeError, match="complex64"):
        MRI((5, 6), True)(torch.zeros(5, 6))
    with pytest.raises(ShapeError, match=r"MRI\.H expects"):
        MRI((5, 6), True, normal(2, 5, 6)).H(torch.zeros(5, 6, dtype=torch.complex64))


def blob(n):
    """A smooth object, whose k-space ends at half of the largest frequency, and coils around it."""
    t = torch.linspace(-1, 1, n + 1, dtype=torch.float64)[:-1]
    gauss = torch.exp(-(t**2) / 0.1)
    centres = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    maps = [torch.exp(-((t[:, None] - a) ** 2 + (t - b) ** 2)) for a, b in centres]
    return torch.outer(gauss, gauss).to(torch.complex128), torch.stack(maps).to(torch.complex128)


@pytest.mark.parametrize("mask", [True, ig.operators.sampling.equispaced_lines((96, 96), 3)])
def test_the_noise_of_k_space_is_reported_by_its_outer_part(mask):
    x, maps = blob(96)
    A, single = MRI((96, 96), mask, maps), MRI((96, 96), mask)
    for operator in (A, single):
        y = torch.stack([ig.noise.Gaussian(std).sample(operator(x), seed=0) for std in (0.01, 0.2)])
        # a quantile of some hundred samples of each coil is known to a few percent
        torch.testing.assert_close(
            operator.estimate_noise(y), torch.tensor([0.01, 0.2], dtype=torch.float64), rtol=0.1, atol=0
        )
    assert MRI((6, 6), True).estimate_noise(normal(6, 6)) is None


def test_the_spectrum_is_the_nearest_circulant():
    """The diagonal of the gram matrix in the Fourier basis, by T. Chan's theorem."""
    mask, maps = draw((5, 6), 0.4), normal(2, 5, 6, seed=2)
    for A in (MRI((5, 6), mask, maps), MRI((5, 6), mask), MRI((5, 6), mask[0], maps)):
        waves = torch.fft.ifftn(
            torch.eye(30, dtype=torch.complex128).reshape(30, 5, 6), dim=(-2, -1), norm="ortho"
        )
        diagonal = A.domain.inner(waves, A.gram(waves)).real.reshape(5, 6)
        torch.testing.assert_close(A.spectrum.value, diagonal, rtol=1e-10, atol=1e-12)


def test_a_preconditioned_gram_needs_fewer_iterations():
    x, maps = blob(64)
    A = MRI((64, 64), ig.operators.sampling.poisson_disc((64, 64), 4, (12, 12), seed=0), maps)
    b = A.H(A(x)) + 1e-3 * normal(64, 64)
    shift = 1e-2

    def steps(precondition):
        counted = []
        conjugate_gradients(
            lambda v: (counted.append(0), A.gram(v) + shift * v)[1], b, A.domain, precondition=precondition
        )
        return len(counted)

    assert steps(A.fourier_preconditioner(b, 1.0, shift)) < steps(None)


def test_solvers_leave_zero_what_no_coil_sees():
    x, maps = blob(32)
    maps[:, :, 20:] = 0
    for A in (
        MRI((32, 32), ig.operators.sampling.equispaced_lines((32, 32), 2), maps),
        ig.operators.NonCartesianMRI((32, 32), ig.operators.trajectories.radial(24, 64), maps),
    ):
        # total variation would extend the edge of what is seen into the unseen
        solved = ig.solvers.PDHG(ig.priors.TotalVariation(1e-3), iterations=20)(ig.Problem(A, A(x))).x
        assert not bool(solved[:, 20:].any())
        assert bool((solved[:, :20] != 0).all())


def test_the_number_of_threads_changes_nothing(set_threads):
    x, maps = blob(96)
    A = MRI((96, 96), draw((96, 96), 0.5), maps)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append((A(x), A.H(A(x)), A.gram(x)))
        assert torch.get_num_threads() == threads
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-14, atol=1e-14)
