"""Diffusion models: units, channels, classes and files. Their samples are tested with the samplers."""

import pickle

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import CapabilityError, DtypeError, FileError, ParameterError, ShapeError
from invgen.priors import Diffusion
from invgen.priors.files import checkpoints
from invgen.priors.nets import EDM, UNet
from invgen.priors.nets.positions import CHANNELS

MEAN, VARIANCE = 0.3, 0.04


class Wiener(nn.Module):
    """The denoiser of white images of mean m and variance v in the network's units, 0 to 1 being -1 to 1."""

    def forward(self, x, sigma, label=None, extra=None):
        mean, variance = 2 * MEAN - 1, 4 * VARIANCE
        if label is not None:
            mean = mean + label.to(x)[:, None, None, None]
        if extra is not None:
            mean = mean + extra[:, :1]
        return mean + variance / (variance + sigma[:, None, None, None] ** 2) * (x - mean)


def unet(**changes):
    torch.manual_seed(0)
    network = UNet(**{"widths": (8, 16), "blocks": 1, **changes})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def test_units_are_those_of_the_images():
    prior = Diffusion(Wiener(), (4, 5))
    x = torch.rand(3, 4, 5, dtype=torch.float64)
    exact = MEAN + VARIANCE / (VARIANCE + 0.09) * (x - MEAN)
    assert torch.allclose(prior.denoise(x, 0.3), exact, rtol=1e-12)
    assert torch.allclose(prior.score(x, 0.3), -(x - MEAN) / (VARIANCE + 0.09), rtol=1e-12)


def test_another_range_of_values_is_another_unit():
    prior = Diffusion(Wiener(), value_range=(0.0, 255.0))
    x = 255 * torch.rand(4, 5, dtype=torch.float64)
    same = 255 * Diffusion(Wiener()).denoise(x / 255, 0.3)
    assert torch.allclose(prior.denoise(x, 0.3 * 255), same, rtol=1e-12)


def test_samples_and_densities_are_those_of_the_denoiser():
    prior = Diffusion(Wiener(), (2, 3), sigma_data=0.5)
    x = prior.sample(3000, seed=0, steps=48)
    assert float(x.mean()) == pytest.approx(MEAN, abs=4 * (VARIANCE / x.numel()) ** 0.5)
    assert float(x.var()) == pytest.approx(VARIANCE, rel=0.04)
    generator = torch.Generator().manual_seed(0)
    images = MEAN + VARIANCE**0.5 * torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    exact = torch.distributions.Normal(MEAN, VARIANCE**0.5).log_prob(images).sum((-2, -1))
    assert torch.allclose(prior.log_prob(images), exact, rtol=0.01, atol=0.01)


def test_complex_images_are_two_channels_within():
    network = unet(inputs=2, outputs=2)
    prior = Diffusion(EDM(network, 0.5), field="complex")
    x = torch.randn(3, 8, 10, dtype=torch.complex128)
    with torch.no_grad():
        inside = EDM(network, 0.5).double()(
            torch.stack([x.real, x.imag], 1), torch.full((3,), 0.2, dtype=torch.float64)
        )
    assert torch.allclose(prior.denoise(x, 0.2), torch.complex(inside[:, 0], inside[:, 1]), rtol=1e-10)
    assert prior.sample(2, 0, image_shape=(8, 8), steps=3).shape == (2, 8, 8)
    assert prior.sample(2, 0, image_shape=(8, 8), steps=3).is_complex()


def test_classes_and_positions_reach_the_network():
    prior = Diffusion(Wiener(), classes=3)
    x = torch.rand(4, 5, dtype=torch.float64)
    shrink = 1 - VARIANCE / (VARIANCE + 0.01)
    assert torch.allclose(
        prior.of_class(2).denoise(x, 0.1) - prior.of_class(0).denoise(x, 0.1), shrink + 0 * x
    )
    assert torch.equal(prior.of_class(2).of_class(None).denoise(x, 0.1), prior.denoise(x, 0.1))
    placed = Diffusion(Wiener(), positioned=True).denoise(x, 0.1) - Diffusion(Wiener()).denoise(x, 0.1)
    assert torch.allclose(placed[:, 0], shrink / 2 * torch.linspace(-1, 1, 4).double(), atol=1e-12)
    with pytest.raises(ParameterError, match="classes are 0 to 2"):
        prior.of_class(3)


@pytest.mark.parametrize("shape", [(9, 14), (3, 9, 14)])
def test_networks_take_images_of_any_size_and_color(shape):
    channels = shape[0] if len(shape) == 3 else 1
    network = EDM(unet(inputs=channels, outputs=channels, unshuffle=2), 0.5)
    prior = Diffusion(network, channels=channels if len(shape) == 3 else None)
    x = torch.rand(2, 2, *shape)
    sigma = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    together = prior.denoise(x, sigma)
    assert together.shape == x.shape
    alone = prior.denoise(x[1, 0], 0.3)
    assert torch.allclose(together[1, 0], alone, atol=1e-5)


def test_a_denoiser_is_differentiable_in_the_image():
    prior = Diffusion(EDM(unet(), 0.5))
    x = torch.rand(4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: prior.denoise(x, 0.2), x)


def test_nothing_depends_on_how_large_the_image_is():
    """The middle of a large image is denoised as it is alone, further from the edge than the network sees."""
    prior = Diffusion(EDM(unet(widths=(8,), blocks=1), 0.5))
    x = torch.rand(40, 40)
    inner = prior.denoise(x[8:32, 8:32].clone(), 0.1)[8:16, 8:16]
    assert torch.allclose(prior.denoise(x, 0.1)[16:24, 16:24], inner, atol=1e-6)


def test_a_network_of_other_channels_than_its_images_have_is_refused_when_it_is_read(tmp_path):
    """Such as one of images with two channels of positions, in place of their Fourier features."""
    path = tmp_path / "prior.safetensors"
    Diffusion(EDM(unet(inputs=3), 0.5), positioned=True).save(path, data="none")
    with pytest.raises(FileError, match="takes 3 channels, and its images have 15"):
        ig.priors.load(path)


def test_a_file_holds_the_whole_prior(tmp_path):
    prior = Diffusion(
        EDM(unet(classes=3, attention=(1,), inputs=1 + CHANNELS), 0.7),
        (8, 8),
        value_range=(-1.0, 3.0),
        positioned=True,
        classes=3,
        sigma_data=0.7,
        sigma_range=(0.01, 20.0),
    )
    prior.save(tmp_path / "prior.safetensors", data="nothing at all", quality={"psnr": 12.5})
    again = ig.priors.load(tmp_path / "prior.safetensors")
    x = torch.rand(2, 8, 8)
    assert torch.equal(again.of_class(1).denoise(x, 0.4), prior.of_class(1).denoise(x, 0.4))
    assert torch.equal(again.sample(1, 3, steps=3), prior.sample(1, 3, steps=3))
    assert ig.priors.about(tmp_path / "prior.safetensors")["quality"] == {"psnr": 12.5}
    prior.save(tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "prior")]
    assert sizes[0] < 0.6 * sizes[1]
    half = ig.priors.load(tmp_path / "half.safetensors")
    assert torch.allclose(half.denoise(x, 0.4), prior.denoise(x, 0.4), atol=0.02)


class Trap:
    def __reduce__(self):
        return (open, ("sprung", "w"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".pkl", ".ckpt", ""])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_is_never_run(tmp_path, monkeypatch, suffix, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    else:
        torch.save(Trap(), path)
    with pytest.raises(FileError, match="safetensors"):
        ig.priors.load(path)
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_prior_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "prior.safetensors"
    with pytest.raises(FileError, match="neither a file nor"):
        ig.priors.load(path)
    path.write_bytes(b"")
    with pytest.raises(FileError, match="empty"):
        ig.priors.load(path)
    checkpoints.write(path, "unheard-of", {"a": torch.zeros(2)}, {})
    with pytest.raises(FileError, match="unheard-of"):
        ig.priors.load(path)
    Diffusion(EDM(unet(), 0.5)).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match="no safetensors file"):
        ig.priors.load(path)
    with pytest.raises(CapabilityError, match="UNet"):
        Diffusion(Wiener()).save(path)


def test_images_that_do_not_fit_are_refused():
    prior = Diffusion(Wiener(), (4, 5))
    with pytest.raises(ShapeError, match=r"\(4, 5\)"):
        prior.denoise(torch.rand(5, 4), 0.1)
    with pytest.raises(DtypeError, match="real images"):
        prior.denoise(torch.rand(4, 5, dtype=torch.complex64), 0.1)
    with pytest.raises(ParameterError, match="image_shape"):
        Diffusion(Wiener()).sample(1, 0)
    with pytest.raises(ParameterError, match="heun"):
        prior.sample(1, 0, method="euler")
    with pytest.raises(DtypeError, match="Module"):
        Diffusion(3)
