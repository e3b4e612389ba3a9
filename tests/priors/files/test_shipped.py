"""The weights that come with the package: each with its card, small, and better than what learns nothing."""

from importlib.resources import files

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.priors import Diffusion, NonLocalMeans, TVDenoiser
from invgen.priors.files import checkpoints

WEIGHTS = files("invgen") / "weights"
SHIPPED = pytest.mark.parametrize("name", checkpoints.shipped())


def digits(find):
    """Of the test digits."""
    images = ig.io.read_images(find("digits/mnist8k-images-idx3-ubyte.gz"))[7500:7516]
    return torch.stack([torch.from_numpy(x) for x in images])


def photograph(find):
    """A part of one of Kodak's, which none of the priors has seen."""
    return torch.from_numpy(ig.io.read_images(find("images/kodim23.png"), gray=True)[0])[96:224, 160:288]


def colors(find):
    """A part of the same in color."""
    return torch.from_numpy(ig.io.read_images(find("images/kodim23.png"))[0])[:, 96:224, 160:288]


def objects(find):
    """Of seeds that were not learned from."""
    return torch.stack([ig.phantoms.random(s).image((128, 128), 2 / 128) for s in (10**6, 10**6 + 1)]).float()


def head(find):
    """A slice of the patient who was held out, upright, and with a phase."""
    volume = ig.io.read_images(find("heads/i_t1_tumour.nii.gz"))
    image = torch.from_numpy(volume[12]).T.flip(0)[:, 32:224] / 1150  # over a percentile of all
    phase = torch.linspace(0, 2, image.shape[0])[:, None].expand_as(image)
    return torch.polar(image, phase)


def chest(find):
    """A slice of a patient who was held out."""
    with np.load(find("ct_slices/tcga_chest_train_1.npz")) as file:
        slices = torch.from_numpy(file["hu"][3]).div(1000).add(1).clamp(0, 2.5)
    return torch.nn.functional.avg_pool2d(slices[None], 2)[0]


#: What each prior has not seen, the noise, and the baseline that it is above.
HELD_OUT = {
    "brain-mr": (head, 0.05, TVDenoiser()),
    "chest-ct": (chest, 0.1, NonLocalMeans()),
    "ct-phantoms": (objects, 0.1, TVDenoiser()),
    "denoiser-color": (colors, 25 / 255, TVDenoiser()),
    "denoiser-gray": (photograph, 25 / 255, NonLocalMeans()),
    "digits": (digits, 0.3, TVDenoiser()),
    "patches-gray": (photograph, 25 / 255, TVDenoiser()),
}


def test_all_weights_together_are_small():
    assert sum(len(entry.read_bytes()) for entry in WEIGHTS.iterdir()) <= 40e6


@SHIPPED
def test_each_says_what_it_is(name):
    header, card = ig.priors.about(name), (WEIGHTS / f"{name}.md").read_text()
    assert header["data"]
    assert card.startswith(f"# {name}\n")
    assert f'ig.priors.load("{name}")' in card
    for word in (
        "value range",
        "data",
        "| license of the data |",
        "seed",
        "time, machine",
        "examples/training/",
        "Where it fails",
    ):
        assert word in card, word
    assert name not in HELD_OUT or "dB" in card
    if header["family"] == "diffusion":
        assert header["quality"]


@pytest.mark.parametrize("name", HELD_OUT)
def test_each_denoises_what_it_has_not_seen_better_than_what_learns_nothing(name, measured_file):
    make, sigma, baseline = HELD_OUT[name]
    prior, truth = ig.priors.load(name), make(measured_file)
    noisy = ig.noise.Gaussian(sigma).sample(truth, seed=0)
    denoise = prior.denoise if hasattr(prior, "denoise") else prior.restore
    ours, theirs = (
        float(ig.metrics.psnr(image, truth, data_range=1.0).mean())
        for image in (denoise(noisy, sigma), baseline.denoise(noisy, sigma))
    )
    assert ours > theirs


def test_every_denoiser_has_its_baseline():
    kinds = {name: ig.priors.load(name) for name in checkpoints.shipped()}
    denoisers = {name for name, kind in kinds.items() if hasattr(kind, "denoise") or hasattr(kind, "restore")}
    assert denoisers == set(HELD_OUT)


#: Bits per pixel of held-out digits of 8 bits that each density is at or below: those asked for, and for the
#: autoregressive one those of a table of contexts of the same digits.
BITS = {"digits-autoregressive": 1.038, "digits-flow": 1.15, "digits-vae": 1.40}


@pytest.mark.parametrize("name", BITS)
def test_each_density_codes_what_it_has_not_seen(name, measured_file):
    """Of 100 digits, by a bound or the value itself, as the prior has it."""
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))[:100]
    levels = torch.stack([torch.from_numpy(x) for x in images]).mul(255).round().byte()
    bits = ig.metrics.bits_per_dimension(ig.priors.load(name), levels)
    assert bits.mean <= BITS[name]
    assert bits.kind == ("exact" if name == "digits-autoregressive" else "upper bound")


def test_the_autoencoder_of_digits_reconstructs_what_it_has_not_seen(measured_file):
    """Through 40 numbers, more closely than through the 40 principal components of as many other digits."""
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))
    data = torch.stack([torch.from_numpy(x) for x in images])
    truth, others = data[:64], data[64:].flatten(1)
    mean = others.mean(0)
    components = torch.linalg.svd(others - mean, full_matrices=False)[2][:40]
    projected = ((truth.flatten(1) - mean) @ components.mT @ components + mean).reshape(truth.shape)
    ours, theirs = (
        float(ig.metrics.psnr(x, truth, data_range=1.0).mean())
        for x in (ig.priors.load("digits-vae").reconstruct(truth), projected)
    )
    assert ours > theirs + 1


@SHIPPED
def test_those_that_draw_images_draw_images(name):
    prior = ig.priors.load(name)
    if not hasattr(prior, "sample"):
        pytest.skip("a prior of patches draws no images")
    images = prior.image_format
    # those that know places in an image know the size of its pixels
    positioned = getattr(prior, "positioned", False)
    size = (256, 192) if positioned else (40, 48)
    shape = images.shape or (*(() if images.channels is None else (images.channels,)), *size)
    # a few steps are enough to leave the noise of the highest level behind
    settings = (
        {"image_shape": shape, "steps": 12 if positioned else 6} if isinstance(prior, Diffusion) else {}
    )
    x = prior.sample(2, seed=0, **settings)
    assert x.shape == (2, *shape)
    assert x.is_complex() == (images.field == "complex")
    low, high = images.value_range
    assert float(x.abs().max()) < 2 * (high - low)
    assert not torch.equal(x[0], x[1])
    # each follows from its own seed, but for rounding in another batch
    torch.testing.assert_close(prior.sample(1, seed=1, **settings)[0], x[1], rtol=1e-3, atol=1e-3)
