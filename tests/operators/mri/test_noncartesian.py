"""MRI along any trajectory against the sum that defines it."""

import itertools
import math

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import MRI, Fourier, NonCartesianMRI, trajectories

SHAPES = [(8, 6), (7, 9), (6, 9), (1, 7), (4, 5, 6), (5, 4, 3)]
#: Of the NUFFT against the sum, which rounds itself.
ACCURACY = {torch.complex64: 1e-4, torch.complex128: 1e-10}


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scattered(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5


def places(shape):
    """Pixels, counted from the middle, (pixels, dimensions)."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))


def grid(shape):
    """Cartesian k-space in cycles per pixel, (*shape, dimensions)."""
    return (places(shape) / torch.tensor(shape)).reshape(*shape, len(shape))


def matrix(k, shape):
    """The definition."""
    phase = -2 * math.pi * k.reshape(-1, len(shape)) @ places(shape).T
    return torch.polar(torch.ones_like(phase), phase) / math.sqrt(math.prod(shape))


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


def bumps(shape, count=3):
    """Sensitivities of coils around the image; smooth, with phases."""
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    turns = [2 * math.pi * c / count for c in range(count)]
    distance = [(place[-1] - math.cos(t)) ** 2 + (place[-2] - math.sin(t)) ** 2 for t in turns]
    return torch.stack(
        [torch.polar(torch.exp(-d), t + place[-1]) for t, d in zip(turns, distance, strict=True)]
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("coils", [None, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_sum_over_the_pixels(shape, coils, dtype):
    k = scattered(5, 11, len(shape))
    maps = None if coils is None else normal(coils, *shape, seed=2)
    A, x = NonCartesianMRI(shape, k, maps), normal(*shape, dtype=dtype)
    seen = x.to(torch.complex128) if maps is None else maps * x
    expected = (seen.reshape(-1, math.prod(shape)) @ matrix(k, shape).T).reshape(A.range.shape)
    assert A.range.shape == ((5, 11) if coils is None else (coils, 5, 11))
    assert A(x).dtype == dtype
    assert relative(A(x), expected) < ACCURACY[dtype]


@pytest.mark.parametrize("shape", SHAPES)
def test_on_the_cartesian_grid_it_is_the_fourier_transform(shape):
    x, maps = normal(*shape), normal(2, *shape, seed=2)
    torch.testing.assert_close(
        NonCartesianMRI(shape, grid(shape))(x), Fourier(shape)(x), rtol=1e-9, atol=1e-9
    )
    A, B = NonCartesianMRI(shape, grid(shape), maps), MRI(shape, True, maps)
    torch.testing.assert_close(A(x), B(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(A.gram(x), B.gram(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(A.H(A(x)), B.gram(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("coils", [None, 3])
@pytest.mark.parametrize("shape", [(16, 16), (15, 17), (9, 24), (6, 7, 8)])
def test_the_gram_is_forward_and_adjoint(shape, coils, dtype):
    maps = None if coils is None else normal(coils, *shape, seed=2)
    A, x = NonCartesianMRI(shape, scattered(40, 9, len(shape)), maps), normal(2, *shape, dtype=dtype)
    E = matrix(A.trajectory, shape)
    seen = x.to(torch.complex128)[:, None] if maps is None else maps * x[:, None]
    expected = (seen.flatten(2) @ E.T @ E.conj()).reshape(seen.shape)
    expected = expected[:, 0] if maps is None else (maps.conj() * expected).sum(1)
    # the kernel is always made in double precision: only the transforms' rounding is left
    assert relative(A.gram(x), expected) < (1e-6 if dtype == torch.complex64 else 1e-10)
    assert relative(A.gram(x), A.H(A(x))) < ACCURACY[dtype]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.complex64, 1e-6), (torch.complex128, 1e-12)])
def test_the_gram_is_self_adjoint_and_not_negative(dtype, bound):
    A = NonCartesianMRI((30, 25), trajectories.radial(11, 40), bumps((30, 25)))
    x, v = normal(30, 25, dtype=dtype), normal(30, 25, dtype=dtype, seed=1)
    a, b = A.gram(x), A.gram(v)
    difference = torch.vdot(a.flatten(), v.flatten()) - torch.vdot(x.flatten(), b.flatten())
    assert abs(difference) <= bound * float(a.norm() * v.norm())
    assert torch.vdot(x.flatten(), a.flatten()).real > 0


@pytest.mark.parametrize("coils", [None, 2])
@pytest.mark.parametrize("shape", [(4, 5), (5, 6), (3, 4, 3)])
def test_the_spectrum_is_the_mean_of_the_gram_along_wrapped_diagonals(shape, coils):
    """T. Chan (1988), eq. 5, on the matrix itself."""
    maps = None if coils is None else normal(coils, *shape, seed=2)
    A = NonCartesianMRI(shape, scattered(30, len(shape)), maps)
    unit = torch.eye(math.prod(shape), dtype=torch.complex128).reshape(-1, *shape)
    G = A.gram(unit).reshape(len(unit), -1).T.reshape(*shape, *shape)
    column = torch.zeros(shape, dtype=torch.complex128)
    pixels = list(itertools.product(*map(range, shape)))
    for p, q in itertools.product(pixels, pixels):
        lag = tuple((a - b) % n for a, b, n in zip(p, q, shape, strict=True))
        column[lag] += G[p + q] / len(pixels)
    expected = torch.fft.fftn(column).real
    torch.testing.assert_close(A.spectrum.value, expected, rtol=1e-9, atol=1e-9 * float(expected.max()))
    assert bool((A.spectrum.value >= 0).all())


class Plain(NonCartesianMRI):
    """The same samples, without a preconditioner."""

    spectrum = None


def test_the_spectrum_saves_iterations_and_changes_nothing():
    """Radial samples are dense in the middle, which makes plain conjugate gradients slow."""
    k, maps = trajectories.radial(40, 96), bumps((48, 48), 4)
    maps = maps / maps.abs().square().sum(0).sqrt()
    x = normal(48, 48)
    steps, results = {}, {}
    for cls in (NonCartesianMRI, Plain):
        A = cls((48, 48), k, maps)
        r = ig.solvers.CG(weight=1e-1, tolerance=1e-8, iterations=1000)(ig.Problem(A, A(x)))
        steps[cls], results[cls] = r.stats["iterations"], r.x
    assert steps[NonCartesianMRI] < 0.5 * steps[Plain]
    assert relative(results[NonCartesianMRI], results[Plain]) < 1e-5


def test_where_no_coil_sees_anything_solving_leaves_zeros():
    maps = bumps((12, 14))
    maps[:, :, :4] = 0
    A, x = NonCartesianMRI((12, 14), scattered(400, 2), maps), normal(12, 14)
    solved = A.solve(A.H(A(x)))
    torch.testing.assert_close(solved[:, 4:], x[:, 4:], rtol=1e-5, atol=1e-5)
    assert not bool(solved[:, :4].any())
    b = normal(12, 14, seed=3)
    shifted = A.solve(b, 0.5)
    torch.testing.assert_close(A.gram(shifted) + 0.5 * shifted, b, rtol=1e-8, atol=1e-8)


def test_coils_recover_from_few_spokes_what_one_coil_cannot():
    """An image of 64 x 64 pixels needs 100 spokes; there are 25."""
    shape, k = (64, 64), trajectories.radial(25, 128)
    place = places(shape).reshape(*shape, 2)
    x = sum(
        (2 - 1j * i) * torch.exp(-((place - torch.tensor(c)) ** 2).sum(-1) / 2 / 5.0**2)
        for i, c in enumerate([(-10.0, 4.0), (8.0, -9.0), (5.0, 14.0)])
    )
    maps = bumps(shape, 8)
    A = NonCartesianMRI(shape, k, maps)
    noise = ig.noise.Gaussian(1e-3 * float(A(x).abs().max()))
    solver = ig.solvers.CG(iterations=50)
    errors = {
        A.coil_count: relative(solver(ig.Problem(A, noise.sample(A(x), seed=0), noise)).x, x)
        for A in (A, NonCartesianMRI(shape, k, maps[:1]))
    }
    assert errors[8] < 0.05
    assert errors[8] < 0.5 * errors[1]


@pytest.mark.parametrize(
    ("shape", "k"),
    [((128, 128), trajectories.radial(200, 256)), ((64, 64, 64), trajectories.koosh_ball(2000, 128))],
    ids=["radial", "koosh ball"],
)
def test_forward_and_adjoint_are_accurate_in_single_precision_where_samples_gather(shape, k):
    """Rounding errors of the samples of a white image add up in the middle of k-space."""
    A, x = NonCartesianMRI(shape, k), normal(*shape)
    expected = A.H(A(x))
    assert relative(A.H(A(x.to(torch.complex64))), expected) < 1e-4


def test_memory_of_a_gram_is_the_images_own():
    A, x = NonCartesianMRI((16, 16), scattered(50, 2)), normal(16, 16)
    assert A.gram(x).untyped_storage().nbytes() == x.untyped_storage().nbytes()


def test_the_trajectory_and_the_maps_are_the_operators_own():
    k, maps = scattered(6, 2), normal(2, 4, 5)
    A = NonCartesianMRI((4, 5), k, maps)
    before = A(normal(4, 5))
    A.trajectory.zero_()
    A.coils.zero_()
    k.zero_()
    assert torch.equal(A(normal(4, 5)), before)
    assert torch.equal(A.coils, maps)
    assert A.coil_count == 2
    assert NonCartesianMRI((4, 5), scattered(6, 2)).coils is None


def test_trajectories_in_other_units_are_refused_with_their_factors():
    k = trajectories.radial(5, 16)
    for factor in (2 * math.pi, 16.0, 1 / 1.5e-3):
        with pytest.raises(ParameterError, match=r"Divide radians per pixel by 2 pi.* 1/m .*to_cycles"):
            NonCartesianMRI((16, 16), factor * k)
    # what single precision makes of half a cycle is half a cycle
    NonCartesianMRI((16, 16), (k * 1024 / 1024.0001).float())


def test_errors_say_what_is_expected():
    k = scattered(6, 2)
    with pytest.raises(DtypeError, match=r"torch\.stack\(\[k\.imag, k\.real\], -1\)"):
        NonCartesianMRI((4, 5), torch.view_as_complex(k))
    with pytest.raises(DataError, match="2 NaN or infinite values of 12"):
        NonCartesianMRI((4, 5), torch.where(k == k[0], torch.nan, k))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\), \(kz, ky, kx\).*got \(6, 2\)"):
        NonCartesianMRI((3, 4, 5), k)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 2\), \(ky, kx\)"):
        NonCartesianMRI((4, 5), k.T)
    with pytest.raises(ShapeError, match=r"got \(2,\)"):
        NonCartesianMRI((4, 5), k[0])
    with pytest.raises(ShapeError, match=r"got \(0, 2\)"):
        NonCartesianMRI((4, 5), k[:0])
    with pytest.raises(ShapeError, match=r"\(H, W\) or \(D, H, W\)"):
        NonCartesianMRI((5,), scattered(6, 1))
    with pytest.raises(ShapeError, match=r"\(coils, 4, 5\)"):
        NonCartesianMRI((4, 5), k, normal(2, 5, 4))
    with pytest.raises(DataError, match="coil maps"):
        NonCartesianMRI((4, 5), k, torch.full((1, 4, 5), torch.nan, dtype=torch.complex64))
    with pytest.raises(ShapeError, match=r"NonCartesianMRI\.H expects"):
        NonCartesianMRI((4, 5), k).H(normal(2, 3))


def test_the_measured_phantom_is_190_mm_wide(measured_file):
    """Spirals of the large phantom of the American College of Radiology, whose inner diameter is 190 mm."""
    scipy_io = pytest.importorskip("scipy.io")
    data = scipy_io.loadmat(measured_file("mri/octopus_acrph_noncart_ksp.mat"))["dat"]
    y = torch.from_numpy(np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    k = np.load(measured_file("mri/octopus_ktraj.npy"))
    n, pixel = 160, 1.5  # mm
    k = trajectories.to_cycles_per_pixel(np.stack([k.imag, k.real], -1), "1/m", (n, n), n * pixel / 1e3)
    A = NonCartesianMRI((n, n), k)
    images = ig.solvers.Gridding()(ig.Problem(A, y)).x
    image = images.abs().square().sum(0).sqrt()
    rows = image[n // 2 - 20 : n // 2 + 20]
    bright = rows > 0.5 * rows[:, n // 4 : -n // 4].median(dim=1, keepdim=True).values
    width = max(int(row.nonzero().max() - row.nonzero().min()) + 1 for row in bright)
    assert width * pixel == pytest.approx(190, abs=2 * pixel)
    # the air bubble is at the top, and what surrounds the phantom is dark
    assert float(image[20:24, 76:84].mean()) < 0.5 * float(image[132:136, 76:84].mean())
    assert float(image[:8].mean()) < 0.1 * float(image.max())
