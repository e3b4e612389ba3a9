"""Denoisers: what their papers promise, their libraries' results, and what they refuse."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage import restoration

import invgen as ig
from invgen.priors import (
    BM3D,
    L1,
    Box,
    CycleSpunWavelets,
    ImageFormat,
    NetworkDenoiser,
    NonLocalMeans,
    ProxDenoiser,
    Tikhonov,
    TotalVariation,
    TVDenoiser,
)
from invgen.priors.base import Denoising
from invgen.testing import CheckError, check_denoiser
from invgen.testing.report import distance


def noisy(shape=(24, 25), sigma=0.1, dtype=torch.float64):
    x = torch.full(shape, 0.2, dtype=dtype)
    x[..., 8:16, 5:20] = 0.8
    return x + sigma * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_total_variation_is_that_of_scikit_image():
    x = noisy()
    expected = restoration.denoise_tv_chambolle(x.numpy(), 0.75 * 0.1)
    np.testing.assert_array_equal(TVDenoiser().denoise(x, 0.1).numpy(), expected)


def test_non_local_means_are_those_of_scikit_image():
    x = noisy()
    expected = restoration.denoise_nl_means(x.numpy(), 5, 6, h=0.06, sigma=0.1, fast_mode=True)
    np.testing.assert_allclose(NonLocalMeans().denoise(x, 0.1).numpy(), expected, atol=1e-10)


def test_bm3d_is_that_of_its_package():
    bm3d = pytest.importorskip("bm3d")
    x, level = noisy(), 25 / 255
    np.testing.assert_allclose(BM3D().denoise(x, level).numpy(), bm3d.bm3d(x.numpy(), level), atol=1e-5)


@pytest.mark.slow
def test_without_its_package_bm3d_says_how_to_get_it():
    code = (
        "import sys; sys.modules['bm3d'] = None\nimport invgen as ig\n"
        "try: ig.priors.BM3D()\nexcept ig.errors.CapabilityError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install bm3d" in run.stdout


@pytest.mark.parametrize("soft", [False, True])
def test_cycle_spinning_is_the_average_over_all_shifts(soft):
    """Against the plain sum over 4 x 4 shifts of the orthonormal transform of two levels."""
    x, sigma = noisy((16, 12)), 0.1
    W = ig.operators.Wavelet((16, 12), "db2", 2)
    total = torch.zeros_like(x)
    for shift in [(i, j) for i in range(4) for j in range(4)]:
        z = W(x.roll(shift, (0, 1)))
        kept = z - z.clamp(-2 * sigma, 2 * sigma) if soft else torch.where(z.abs() > 2 * sigma, z, 0)
        back = W.H(torch.where(W.details, kept, z))
        total += back.roll((-shift[0], -shift[1]), (0, 1))
    found = CycleSpunWavelets("db2", 2, threshold=2.0, soft=soft).denoise(x, sigma)
    assert distance(found, total / 16) < 1e-12


def test_cycle_spinning_prefers_no_place():
    x = noisy((15, 17))
    prior = CycleSpunWavelets()
    moved = prior.denoise(x.roll((3, 5), (0, 1)), 0.1).roll((-3, -5), (0, 1))
    assert distance(moved, prior.denoise(x, 0.1)) < 1e-12


def test_soft_cycle_spinning_brings_no_two_images_further_apart():
    prior, generator = CycleSpunWavelets(soft=True), torch.Generator().manual_seed(1)
    x = noisy()
    for size in (1e-3, 0.1, 10.0):
        y = x + size * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        apart = (prior.denoise(x, 0.1) - prior.denoise(y, 0.1)).norm()
        assert apart <= (x - y).norm() * (1 + 1e-12)


def test_a_proximal_map_in_closed_form_is_the_priors():
    x = noisy((2, 6, 7))
    sigma = torch.tensor([0.1, 0.3], dtype=torch.float64)
    expected = torch.stack([L1(2.0).prox(one, float(s) ** 2) for one, s in zip(x, sigma, strict=True)])
    assert distance(ProxDenoiser(L1(2.0)).denoise(x, sigma), expected) < 1e-14


def test_the_proximal_map_of_tikhonovs_prior_is_wieners_filter():
    x = noisy()
    found = ProxDenoiser(Tikhonov(4.0)).denoise(x, 0.5)
    assert distance(found, x / (1 + 4 * 0.25)) < 1e-14


@pytest.mark.slow
def test_an_iterated_proximal_map_is_as_near_as_it_says():
    x = noisy()
    exact = ProxDenoiser(TotalVariation(8.0), tolerance=1e-6, iterations=20000).denoise(x, 0.1)
    near = ProxDenoiser(TotalVariation(8.0), tolerance=1e-3).denoise(x, 0.1)
    # twenty iterations moved it by a thousandth of sigma: a linear rate of 0.9 leaves ten times that
    assert (near - exact).square().mean().sqrt() < 1e-2 * 0.1
    peer = restoration.denoise_tv_chambolle(x.numpy(), 8.0 * 0.01, eps=1e-9, max_num_iter=5000)
    assert np.sqrt(np.mean((exact.numpy() - peer) ** 2)) < 1e-2 * 0.1


def test_a_constraint_is_a_denoiser():
    x = noisy()
    assert torch.equal(ProxDenoiser(Box(0.0, 1.0)).denoise(x, 0.1), x.clamp(0, 1))


def test_what_does_not_converge_warns():
    with pytest.warns(ig.errors.InvgenWarning, match="20 iterations"):
        ProxDenoiser(TotalVariation(100.0), tolerance=1e-9, iterations=20).denoise(noisy(), 0.1)


class Recording(torch.nn.Module):
    """Shrinks images by what it learned, and checks how it is called."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x, sigma):
        assert sigma.shape == (len(x),)
        assert not self.training
        return self.dropout(x) * self.factor


def test_a_network_is_copied_and_its_own_stays_as_it_is():
    module = Recording()
    prior = NetworkDenoiser(module, (0, 1))
    x = noisy((2, 3, 8, 9))
    assert torch.equal(prior.denoise(x, 0.1), x / 2)
    assert module.training
    assert module.factor.dtype == torch.float32
    assert module.factor.requires_grad
    with torch.no_grad():
        module.factor.fill_(7)
    assert torch.equal(prior.denoise(x, 0.1), x / 2)


def test_a_network_has_a_derivative_with_respect_to_the_image_alone():
    prior = NetworkDenoiser(Recording(), (0, 1))
    assert not prior.denoise(noisy(), 0.1).requires_grad
    x = noisy().requires_grad_()
    prior.denoise(x, 0.1).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.5))


def test_a_volume_goes_through_a_network_a_few_slices_at_a_time(monkeypatch):
    monkeypatch.setattr("invgen.priors.nets.following._NUMBERS", 2 * 24 * 25)
    calls = []

    class Noting(torch.nn.Module):
        def forward(self, x, sigma):
            calls.append(len(x))
            return x * sigma[:, None, None, None]

    prior, x, sigma = NetworkDenoiser(Noting(), (0, 1)), noisy((5, 24, 25)), torch.arange(1.0, 6) / 10
    torch.testing.assert_close(prior.denoise(x, sigma), x * sigma[:, None, None].double())
    assert calls == [2, 2, 1]
    prior.denoise(x.requires_grad_(), 0.1)
    assert calls[3:] == [5]


class Last(torch.nn.Module):
    """What DRUNet is given: a channel with the noise level everywhere."""

    def forward(self, x):
        assert x.shape[-2] % 8 == x.shape[-1] % 8 == 0
        return x[:, :-1] + x[:, -1:]


def test_the_noise_level_is_a_channel_and_sizes_are_padded():
    x = noisy((3, 10, 13))
    sigma = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    found = NetworkDenoiser(Last(), (0, 1), noise="channel", multiple=8).denoise(x, sigma)
    assert torch.equal(found, x + sigma[:, None, None])


def test_complex_images_are_two_real_ones():
    x = torch.complex(noisy(), 2 * noisy())
    prior = NetworkDenoiser(Last(), (0, 1), noise="channel", multiple=8)
    found = prior.denoise(x, 0.25)
    assert torch.equal(found, x + (0.25 + 0.25j))


@pytest.mark.parametrize("sigma", [0.01, 0.3])
def test_noise_that_a_network_was_not_trained_for_is_refused(sigma):
    prior = NetworkDenoiser(torch.nn.Identity(), (0.02, 0.2), noise="none")
    with pytest.raises(ig.errors.ParameterError, match=r"from 0\.02 to 0\.2"):
        prior.denoise(noisy(), sigma)
    prior.denoise(noisy(dtype=torch.float32), 0.2)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: NetworkDenoiser(lambda x: x, (0, 1)), ig.errors.DtypeError, "Module"),
        (lambda: NetworkDenoiser(torch.nn.Identity(), (0.5, 0.1)), ig.errors.ParameterError, "sigma_range"),
        (
            lambda: NetworkDenoiser(torch.nn.Identity(), (0, 1), noise="map"),
            ig.errors.ParameterError,
            "channel",
        ),
        (lambda: CycleSpunWavelets("bior2.2"), ig.errors.ParameterError, "orthogonal"),
        (lambda: CycleSpunWavelets("nonsense"), ig.errors.ParameterError, "nonsense"),
        (lambda: TVDenoiser(strength=0.0), ig.errors.ParameterError, "strength"),
        (lambda: ProxDenoiser(TVDenoiser()), ig.errors.CapabilityError, "TVDenoiser"),
        (lambda: NonLocalMeans(patch_size=0), ig.errors.ParameterError, "patch_size"),
    ],
)
def test_nonsense_is_refused(build, kind, message):
    with pytest.raises(kind, match=message):
        build()


def test_images_that_do_not_fit_are_refused():
    colors = NetworkDenoiser(torch.nn.Identity(), (0, 1), noise="none", channels=3)
    with pytest.raises(ig.errors.ShapeError, match="3, H, W"):
        colors.denoise(noisy((4, 24, 25)), 0.1)
    with pytest.raises(ig.errors.ShapeError, match="same shape"):
        NetworkDenoiser(torch.nn.MaxPool2d(2), (0, 1), noise="none").denoise(noisy(), 0.1)
    with pytest.raises(ig.errors.ShapeError, match="too small"):
        NetworkDenoiser(Last(), (0, 1), noise="channel", multiple=32).denoise(noisy((9, 9))[:8, :8], 0.1)
    with pytest.raises(ig.errors.ShapeError, match="2 axes"):
        NonLocalMeans().denoise(torch.zeros(5), 0.1)
    with pytest.raises(ig.errors.ShapeError, match="sigma"):
        TVDenoiser().denoise(noisy((24, 24))[:, :24], torch.full((24,), 0.1))
    with pytest.raises(ig.errors.CapabilityError, match="derivative"):
        TVDenoiser().denoise(noisy().requires_grad_(), 0.1)


class Shifted(Denoising):
    """Frozen by its name alone."""

    def _denoise(self, x, sigma):
        return x + 1


class Mixing(Denoising):
    def _denoise(self, x, sigma):
        return x / (1 + sigma**2) + 1e-3 * x.mean()


class OfOneSize(Mixing):
    @property
    def image_format(self):
        return ImageFormat((4, 5))


@pytest.mark.parametrize(
    ("prior", "rule"),
    [(Shifted(), "immutability|scale"), (Mixing(), "batch"), (OfOneSize(), r"format.*\(4, 5\)")],
)
def test_check_denoiser_names_the_rule_that_is_broken(prior, rule):
    with pytest.raises(CheckError, match=rule):
        check_denoiser(prior)
    with pytest.raises(ig.errors.CapabilityError, match="TotalVariation"):
        check_denoiser(TotalVariation())
