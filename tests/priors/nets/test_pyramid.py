"""Denoisers on several grids: exact posterior means of Gaussian images, adjoints, and phases."""

import math

import pytest
import torch
from scipy.fft import dctn, idctn
from torch import nn

import invgen as ig
from invgen.core.errors import ParameterError
from invgen.priors import Diffusion
from invgen.priors.nets import EDM, Pyramid, UNet
from invgen.priors.nets.positions import CHANNELS, positions
from invgen.priors.nets.pyramid import PhaseAligned, low_pass

DOUBLE = torch.empty(0, dtype=torch.float64)
DATA, GRIDS = 0.3, ((2, 0.5), (4, 2.0))


class Gaussian(nn.Module):
    """With it an `EDM` is the posterior mean of white Gaussian pixels, or local means, of deviation `std`.

    It knows the noise level from its argument alone, and thereby which grid it sees.
    """

    std = 0.2

    def forward(self, seen, noise, label=None):
        sigma = (4 * noise)[:, None, None, None].exp()
        sigma = sigma / (1 + (sigma > 0.5) + 2 * (sigma > 2.0))  # the noise of local means
        total = sigma**2 + DATA**2
        factor = self.std**2 / (self.std**2 + sigma**2)
        return (factor - DATA**2 / total) * seen * total / (sigma * DATA)


class Seen(nn.Module):
    """Keeps the input of the network."""

    def forward(self, seen, noise, label=None):
        self.channels, self.noise, self.label = seen, noise, label
        return torch.zeros_like(seen[:, :1])


def unet(inputs=1, outputs=1, **changes):
    torch.manual_seed(0)
    network = UNet(inputs, outputs, **{"widths": (8, 16), "blocks": 1, **changes})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


@pytest.mark.parametrize(("n", "size"), [(3, 12), (3, 10), (4, 13), (1, 3), (1, 1), (6, 6)])
def test_the_low_pass_keeps_the_first_cosines_and_white_noise_white(n, size):
    R = low_pass(n, size, DOUBLE)
    assert torch.allclose(R @ R.mT, torch.eye(n).double(), atol=1e-12)
    x = torch.randn(size, dtype=torch.float64)
    kept = dctn(x.numpy(), norm="ortho")[:n]
    assert torch.allclose(R @ x, torch.from_numpy(idctn(kept, norm="ortho")), atol=1e-12)
    # what is the same everywhere, it is on both grids
    assert torch.allclose(R @ torch.ones(size).double(), math.sqrt(size / n) * torch.ones(n).double())


@pytest.mark.parametrize("shape", [(8, 12), (9, 14), (3, 5)])
@pytest.mark.parametrize(("side", "sigma"), [(1, 0.4), (2, 0.6), (4, 2.5), (4, 30.0)])
def test_it_is_the_posterior_mean_of_images_that_are_gaussian_on_their_grid(shape, side, sigma):
    """White at low noise levels; at high ones white among the low frequencies, and without others."""
    denoiser = Pyramid(Gaussian(), DATA, GRIDS)
    size = math.prod(shape)
    R = torch.kron(*(low_pass(math.ceil(n / side), n, DOUBLE) for n in shape))
    # white on its grid, where it has the standard deviation of local means
    covariance = Gaussian.std**2 * size / len(R) * R.mT @ R
    x = torch.randn(2, size, dtype=torch.float64)
    exact = torch.linalg.solve(covariance + sigma**2 * torch.eye(size).double(), covariance @ x.mT).mT
    found = denoiser(x.reshape(2, 1, *shape), torch.full((2,), sigma).double())
    assert torch.allclose(found.flatten(1), exact, atol=1e-10)


def test_a_batch_of_all_kinds_of_levels_is_denoised_as_each_image_alone():
    torch.manual_seed(0)
    denoiser = Pyramid(unet(1 + 2), DATA, GRIDS).double()
    x, extra = torch.randn(5, 1, 9, 14, dtype=torch.float64), torch.randn(5, 2, 9, 14, dtype=torch.float64)
    sigma = torch.tensor([3.0, 0.1, 0.7, 0.5, 40.0], dtype=torch.float64)
    together = denoiser(x, sigma, None, extra)
    for i in range(len(x)):
        alone = denoiser(x[i : i + 1], sigma[i : i + 1], None, extra[i : i + 1])
        assert torch.allclose(together[i], alone[0], rtol=1e-10)
    plain = EDM(denoiser.network, DATA)(x, sigma, None, extra)
    low = sigma <= GRIDS[0][1]
    assert torch.allclose(together[low], plain[low], rtol=1e-10)
    assert not torch.allclose(together[~low], plain[~low], rtol=0.1)


def test_in_bf16_what_the_network_does_not_see_is_exact():
    """What is beyond the low frequencies is zero to rounding in float32."""
    denoiser = Pyramid(unet(2, 2), DATA, GRIDS, phases=True)
    x, sigma = torch.randn(1, 2, 16, 12), torch.tensor([3.0])
    with torch.autocast("cpu", torch.bfloat16):
        found = denoiser(x, sigma)
    assert found.dtype == torch.float32
    spectrum = dctn(found[0, 0].detach().numpy(), norm="ortho")
    assert abs(spectrum[4:, :]).max() < 1e-5
    assert torch.allclose(found, denoiser(x, sigma), atol=0.05)


def test_at_high_levels_it_sees_and_returns_nothing_but_low_frequencies():
    denoiser = Pyramid(unet(), DATA, GRIDS).double()
    x, sigma = torch.randn(1, 1, 16, 12, dtype=torch.float64), torch.tensor([2.5], dtype=torch.float64)
    found = denoiser(x, sigma)
    spectrum = torch.from_numpy(dctn(x[0, 0].numpy(), norm="ortho"))
    spectrum[4:, :] = spectrum[:, 3:] = 0
    low = torch.from_numpy(idctn(spectrum.numpy(), norm="ortho"))
    assert torch.allclose(denoiser(low[None, None], sigma), found, atol=1e-12)
    spectrum = dctn(found[0, 0].detach().numpy(), norm="ortho")
    assert abs(spectrum[4:, :]).max() < 1e-12
    assert abs(spectrum[:, 3:]).max() < 1e-12


def test_positions_are_those_of_the_coarser_grid_and_labels_reach_the_network():
    network = Seen()
    denoiser = Pyramid(network, DATA, GRIDS)
    places = positions(9, 14, DOUBLE)[None]
    x, label = torch.randn(1, 1, 9, 14, dtype=torch.float64), torch.tensor([3])
    denoiser(x, torch.tensor([2.5], dtype=torch.float64), label, places)
    assert torch.allclose(network.channels[0, 1:], positions(3, 4, DOUBLE), atol=1e-12)
    assert torch.equal(network.label, label)


@pytest.mark.parametrize("field", ["real", "complex"])
def test_a_prior_with_a_coarser_grid_is_differentiable_in_the_image(field):
    channels = 1 if field == "real" else 2
    network = unet(channels + CHANNELS, channels, widths=(8,))
    denoiser = Pyramid(network, DATA, ((2, 0.5),), phases=field == "complex")
    prior = Diffusion(denoiser, field=field, positioned=True, sigma_data=DATA)
    x = torch.randn(2, 5, 6, dtype=torch.float64 if field == "real" else torch.complex128, requires_grad=True)
    for sigma in (0.2, 0.9, torch.tensor([0.2, 0.9])):
        assert torch.autograd.gradcheck(lambda x, sigma=sigma: prior.denoise(x, sigma), x)
    single = x.detach().to(torch.float32 if field == "real" else torch.complex64)
    assert prior.denoise(single, 0.9).dtype == single.dtype
    assert torch.allclose(prior.denoise(single, 0.9).to(x.dtype), prior.denoise(x, 0.9), atol=1e-5)


def test_a_file_holds_the_coarser_grid_and_files_without_one_are_plain(tmp_path):
    x = torch.rand(2, 9, 14)
    plain = Diffusion(EDM(unet(), DATA), sigma_data=DATA)
    coarse = Diffusion(Pyramid(unet(), DATA, GRIDS), sigma_data=DATA)
    for name, prior in {"plain": plain, "coarse": coarse}.items():
        prior.save(tmp_path / name, data="none")
        again = ig.priors.load(tmp_path / name)
        assert dict(again.card) == {"data": "none"}
        for sigma in (0.2, 2.0, 3.0):
            assert torch.equal(again.denoise(x, sigma), prior.denoise(x, sigma))
    assert not torch.allclose(plain.denoise(x, 2.0), coarse.denoise(x, 2.0))
    assert "coarse" not in ig.priors.about(tmp_path / "plain")


@pytest.mark.parametrize("phases", [False, True])
def test_a_file_says_whether_phases_are_arbitrary(phases, tmp_path):
    denoiser = Pyramid(unet(2, 2), DATA, GRIDS, phases=phases)
    prior = Diffusion(denoiser, field="complex", sigma_data=DATA)
    prior.save(tmp_path / "prior", data="none")
    x = torch.randn(9, 14, dtype=torch.complex64)
    assert torch.equal(ig.priors.load(tmp_path / "prior").denoise(x, 2.0), prior.denoise(x, 2.0))


def test_what_is_aligned_turns_with_the_image():
    """And an image whose mean is real and positive is denoised as without."""
    denoiser = EDM(unet(2, 2), DATA).double()
    aligned = Diffusion(PhaseAligned(denoiser), field="complex")
    plain = Diffusion(denoiser, field="complex")
    x = torch.randn(3, 8, 10, dtype=torch.complex128)
    turn = torch.polar(torch.ones(3).double(), torch.tensor([1.0, 2.5, -2.0]).double())[:, None, None]
    assert torch.allclose(aligned.denoise(turn * x, 0.4), turn * aligned.denoise(x, 0.4), rtol=1e-10)
    assert not torch.allclose(plain.denoise(turn * x, 0.4), turn * plain.denoise(x, 0.4), rtol=0.1)
    real = x - x.mean((-2, -1), keepdim=True) + 0.1
    assert torch.allclose(aligned.denoise(real, 0.4), plain.denoise(real, 0.4), rtol=1e-10)
    zero = torch.zeros(8, 10, dtype=torch.complex128, requires_grad=True)
    (slope,) = torch.autograd.grad(aligned.denoise(zero, 0.4).abs().square().sum(), zero)
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    "grids",
    [
        *([(side, 0.5)] for side in (1, 0, -2, 2.5)),
        *([(4, level)] for level in (0.0, -1.0, math.inf, math.nan)),
        [],
        [(4, 0.5), (2, 2.0)],
        [(2, 0.5), (4, 0.5)],
    ],
)
def test_coarser_grids_that_are_none_are_refused(grids):
    with pytest.raises(ParameterError, match="side of a coarse pixel"):
        Pyramid(unet(), DATA, grids)


def test_phases_of_real_images_are_refused():
    with pytest.raises(ParameterError, match="Phases are those of complex images"):
        Diffusion(Pyramid(unet(2, 2), DATA, GRIDS, phases=True), channels=2)
