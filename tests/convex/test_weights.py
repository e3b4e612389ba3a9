"""The weight that the noise gives, for every prior that has one."""

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.noise import Gaussian
from invgen.operators import Fourier, Gradient, Identity, SubsampledTransform
from invgen.priors import DCT, L1, GroupSparsity, Tikhonov, TotalVariation, Wavelet
from invgen.solvers import FISTA, PDHG

SHAPE = (32, 32)
STD = 0.1
PRIORS = {
    "pixels": L1(),
    "differences": L1(transform=Gradient(SHAPE)),
    "rows": GroupSparsity(axis=-1),
    "wavelets": Wavelet(),
    "biorthogonal wavelets": Wavelet(wavelet="bior4.4"),
    "padded wavelets": Wavelet(wavelet="haar", axes=(-1,), levels=5),
    "cosines": DCT(),
    "energy": Tikhonov(),
    "energy of differences": Tikhonov(transform=Gradient(SHAPE)),
    "variation": TotalVariation(),
    "wavelets beside energy": Wavelet() + 0.5 * Tikhonov(),
}


def problem(A, scale=1.0):
    x = scale * phantoms.shepp_logan(16).image(SHAPE, 1.0).double()
    x = x.to(torch.complex128) if A.domain.field == "complex" else x
    noise = Gaussian(scale * STD)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


@pytest.mark.parametrize("name", PRIORS)
def test_denoising_leaves_as_much_as_the_noise(name):
    given = problem(Identity(SHAPE))
    x = PDHG(PRIORS[name], iterations=3000, tolerance=1e-6)(given).x
    # the search ends where misfit and noise agree to two percent, on its way to the minimum
    assert float(given.misfit(x) / given.count()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["wavelets", "cosines", "energy of differences"])
def test_so_does_reconstruction_from_fewer_data_than_pixels(name):
    given = problem(SubsampledTransform(SHAPE, 700))
    x = FISTA(PRIORS[name], iterations=1000, tolerance=1e-6)(given).x
    assert float(given.misfit(x) / given.count()) == pytest.approx(1, abs=0.05)


def test_so_does_that_of_complex_images():
    given = problem(Fourier(SHAPE))
    x = FISTA(Wavelet())(given).x
    assert float(given.misfit(x) / given.count()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", [name for name in PRIORS if "beside" not in name])
@pytest.mark.parametrize("solver", [FISTA, PDHG])
def test_reconstructions_scale_with_the_data(name, solver):
    """By a power of two, which rounding does not notice."""
    x, larger = (
        solver(PRIORS[name], iterations=20)(problem(Identity(SHAPE), scale)).x for scale in (1.0, 1024.0)
    )
    torch.testing.assert_close(larger, 1024 * x, rtol=0, atol=1e-9 * float(larger.abs().max()))


def test_where_nothing_determines_the_noise_reconstructions_scale_too():
    given = problem(Identity(SHAPE)).measurement
    x, larger = (FISTA(Wavelet())(ig.Problem(Identity(SHAPE), c * given)).x for c in (1.0, 1024.0))
    torch.testing.assert_close(larger, 1024 * x, rtol=0, atol=1e-9 * float(larger.abs().max()))


@pytest.mark.parametrize("name", ["pixels", "wavelets", "energy of differences", "wavelets beside energy"])
def test_each_element_of_a_batch_gets_its_own_weight(name):
    """Of two levels of noise."""
    given = problem(Identity(SHAPE)).measurement
    std = torch.tensor([STD, 3 * STD], dtype=torch.float64)
    y = torch.stack([given, 3 * given.flip(0)])
    batch = ig.Problem(Identity(SHAPE), y, Gaussian(std[:, None, None]))
    weights = PRIORS[name].resolve(batch).weight
    weights = weights[0] if isinstance(weights, tuple) else weights
    for i in range(2):
        alone = PRIORS[name].resolve(ig.Problem(Identity(SHAPE), y[i], Gaussian(float(std[i])))).weight
        alone = alone[0] if isinstance(alone, tuple) else alone
        # norms are found by iterations that go on until all elements have converged
        assert float(weights[i]) == pytest.approx(alone, rel=1e-4)
