"""Images come back bit by bit, whatever they are, from about as many bits as the prior gives them."""

import io
import math
import sys

import numpy as np
import pytest
import torch

import invgen as ig
from invgen import priors
from invgen.core.errors import CapabilityError, DataError, DtypeError, ShapeError
from invgen.plausibility import compress, decompress
from invgen.plausibility.compression import CompressedImages, memory, write_compressed


def returns(images, prior):
    data = compress(images, prior)
    found = decompress(data, prior)
    return found.dtype == np.uint8 and found.shape == images.shape and bool((found == images).all())


def test_images_of_all_kinds_return(prior, pictures):
    assert returns(pictures(prior.image_format.shape, 24), prior)


@pytest.mark.slow
def test_ten_thousand_images_return(prior, pictures):
    """Of each family 2,000: constants, noise, sparse and smooth ones."""
    assert returns(pictures(prior.image_format.shape, 2000, seed=1), prior)


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (13, 5), (16, 17)])
def test_images_of_other_sizes_return(prior, pictures, size):
    channels = prior.image_format.shape[:-2]
    assert returns(pictures((*channels, *size), 6), prior)


def test_arrays_keep_their_axes(prior, pictures):
    shape = prior.image_format.shape
    for images in (
        pictures(shape, 1)[0],
        pictures(shape, 6).reshape(2, 1, 3, *shape),
        np.zeros((0, *shape), np.uint8),
    ):
        assert returns(images, prior)


def test_channels_can_be_the_last_axis(pictures):
    prior = priors.Autoregressive.untrained((3, 5, 4), mixtures=1, width=4, layers=1)
    assert returns(np.moveaxis(pictures((3, 5, 4), 4), 1, -1), prior)
    assert returns(pictures((3, 5, 3), 4), prior)  # where both fit


def test_images_of_fewer_levels_return():
    rng = np.random.default_rng(0)
    for prior, levels in (
        (priors.VAE.untrained((4, 4), latent=2, widths=(4,), blocks=1, observation="bernoulli"), 2),
        (priors.Autoregressive.untrained((4, 5), levels=7, mixtures=0, width=4, layers=1), 7),
    ):
        assert returns(rng.integers(0, levels, (9, 4, 5)).astype(np.uint8), prior)
        with pytest.raises(DataError, match=f"0 to {levels - 1}"):
            compress(np.full((4, 4), levels, np.uint8), prior)


def test_what_sticks_out_of_the_image_takes_no_bits():
    """A column in tiles of 8 columns, of noise: 7 of 8 pixels of each tile lie outside."""
    prior = priors.Autoregressive.untrained((8, 8), mixtures=0, width=4, layers=1)
    column = np.random.default_rng(0).integers(0, 256, (40, 64, 1)).astype(np.uint8)
    length, empty = len(compress(column, prior)), len(compress(column[:0], prior))
    assert length - empty < 1.03 * column.size


def bits_of_prior(prior, images):
    """Minus the binary logarithm of the probability, or the mean of its lower bounds by one sample."""
    x = prior.image_format.from_levels(torch.from_numpy(images).long(), torch.zeros(images.shape))
    if isinstance(prior, priors.VAE | priors.HierarchicalVAE):
        found = torch.stack([prior.elbo(x, seed) for seed in range(20)]).mean(0)
    else:
        found = prior.log_prob(x)
    return -float(found.sum()) / math.log(2)


def test_files_are_as_long_as_the_prior_says(prior, pictures):
    images = pictures(prior.image_format.shape, 300)
    length = 8 * (len(compress(images, prior)) - len(compress(images[:0], prior)))
    own = bits_of_prior(prior, images)
    beside = 400  # of chunks and ends of coders, and of the latent variables of the first image
    assert 0.99 * own < length < 1.01 * own + beside


@pytest.mark.parametrize(("name", "above"), [("digits-autoregressive", 1.005), ("digits-vae", 1.03)])
def test_digits(measured_file, name, above):
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))[300:306]
    digits = (255 * np.stack(images)).round().astype(np.uint8)
    data = compress(digits, name)
    assert (decompress(data) == digits).all()
    prior = ig.priors.load(name)
    # a header and an end, one chunk, and the latent variables of the first image
    beside = 8 * (48 + 24 + len(name) + 4 + 36 + 20 + 8) + (10 * 40 if name == "digits-vae" else 0)
    assert 8 * len(data) < above * bits_of_prior(prior, digits) + beside


@pytest.mark.parametrize("pixels", [3, 64])  # chunks of parts of an image, and of several images
def test_files_are_written_and_read_in_blocks(pictures, monkeypatch, pixels):
    monkeypatch.setattr(memory, "_KEPT", pixels * 16 * 256)
    prior = priors.Autoregressive.untrained((4, 4), mixtures=1, width=4, layers=1)
    images = pictures((7, 9), 23)  # 6 tiles each
    file, seen = io.BytesIO(), []
    write_compressed(file, images, prior, advance=lambda *done: seen.append(done))
    assert file.getvalue() == compress(images, prior)
    assert seen[-1] == (23, 23)
    assert len(seen) > 2
    file.seek(0)
    opened = CompressedImages(file, prior)
    assert (opened.shape, opened.count, opened.image_shape) == ((23, 7, 9), 23, (7, 9))
    blocks = list(opened.blocks())
    assert len(blocks) > 2
    assert (np.concatenate(blocks) == images).all()


def test_bytes_do_not_depend_on_what_is_computed_at_once(prior, pictures, monkeypatch):
    images = pictures(prior.image_format.shape, 7)
    data = compress(images, prior)
    monkeypatch.setattr(memory, "_COMPUTED", 5000)  # less than an image takes
    assert compress(images, prior) == data
    assert (decompress(data, prior) == images).all()


def test_a_missing_package_is_named(prior, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(CapabilityError, match=r"invgen\[compression\]"):
        compress(pictures(prior.image_format.shape, 1), prior)


def test_what_does_not_fit_is_refused():
    prior = priors.Autoregressive.untrained((3, 4, 4), mixtures=1, width=4, layers=1)
    with pytest.raises(ShapeError, match="3, H, W"):
        compress(np.zeros((5, 4, 4), np.uint8), prior)
    with pytest.raises(ShapeError):
        compress(np.zeros((2, 3, 0, 4), np.uint8), prior)
    with pytest.raises(DtypeError, match="uint8"):
        compress(np.zeros((3, 4, 4)), prior)
    with pytest.raises(DtypeError, match="uint8"):
        compress([[0]], prior)
    with pytest.raises(CapabilityError, match="Autoregressive"):
        compress(np.zeros((4, 4), np.uint8), ig.priors.TotalVariation())
    reals = priors.VAE.untrained((4, 4), latent=2, widths=(4,), blocks=1, observation="gaussian")
    with pytest.raises(CapabilityError, match="real numbers"):
        compress(np.zeros((4, 4), np.uint8), reals)
