"""Bits back through levels of latent variables: what the first image lacks, and the bytes of the steps."""

import math
import struct

import numpy as np
import pytest
import torch

from invgen import priors
from invgen.core.errors import FileError
from invgen.plausibility.compression.bits_back import hierarchical_vae_code, vae_code
from invgen.plausibility.compression.coders import Stack
from invgen.plausibility.compression.exact import Exact


def prior_of(levels, kind=priors.HierarchicalVAE):
    """Untrained, of 32 latent variables in each level, whose posteriors are narrower than their priors."""
    if kind is priors.VAE:
        return priors.VAE.untrained((8, 8), latent=32, widths=(4,), blocks=1)
    return priors.HierarchicalVAE.untrained((8, 8), latent=(2,) * levels, widths=(4,), mixtures=1)


def noise(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8)))


EVERYWHERE = torch.ones(1, 8, 8, dtype=torch.bool)


def code_of(code, images):
    return code.encode(images, EVERYWHERE.expand(len(images), -1, -1))


def back(code, data, count):
    found = torch.zeros(count, 1, 8, 8, dtype=torch.long)
    code.decode(data, found, EVERYWHERE.expand(count, -1, -1))
    return found


def own_bits(prior, images):
    """The mean of negative evidence lower bounds, of other draws for each image."""
    x = images.float() / 127.5 - 1
    network, generator = prior.networks()["network"], torch.Generator().manual_seed(0)
    found = torch.zeros(())
    with torch.no_grad():
        for _ in range(50):
            drawn, parameters = network(x, torch.randn(len(x), *prior.latent_shape, generator=generator))
            found += (prior._observation.nll(x, parameters) + prior._divergence(drawn)).sum() / 50
    return float(found) / math.log(2)


def first_image_beside(levels):
    """Bits of the code of one image beyond its negative evidence lower bound."""
    prior, image = prior_of(levels), noise(1)
    data = code_of(hierarchical_vae_code(prior), image)
    return 8 * len(data) - own_bits(prior, image)


def test_the_bits_that_the_first_image_lacks_do_not_grow_with_the_levels():
    """Those of the one level that is not drawn, 32 latent variables of 9 bits at most, and not of all."""
    found = {levels: first_image_beside(levels) for levels in (2, 4, 8)}
    assert all(32 * 4 < beside < 32 * 9 for beside in found.values()), found
    assert found[8] < found[2] + 32


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_images_after_the_first_take_their_evidence_lower_bound(levels):
    prior = prior_of(levels)
    code, images = hierarchical_vae_code(prior), noise(200)
    length = 8 * (len(code_of(code, images)) - len(code_of(code, images[:100])))
    assert abs(length / own_bits(prior, images[100:]) - 1) < 0.01


def test_steps_say_how_many_levels_are_drawn():
    """Of the first image all but the first level; then of as many images as there are bits for."""
    code, images = hierarchical_vae_code(prior_of(3)), noise(60)
    data = code_of(code, images)
    (count,) = struct.unpack_from("<I", data)
    steps = list(data[4 : 4 + count])
    assert steps[0] == 64 + 1
    assert all(1 <= step <= 64 for step in steps[1:])
    assert max(steps) > 5
    assert (back(code, data, 60) == images).all()


def test_an_image_of_too_few_bits_for_any_draw():
    """One pixel is coded: none of the levels can be drawn."""
    prior = prior_of(2)
    code, image = hierarchical_vae_code(prior), noise(1)
    coded = torch.zeros(1, 8, 8, dtype=torch.bool)
    coded[:, 0, 0] = True
    image = torch.where(coded, image, 0)
    data = code.encode(image, coded)
    assert list(data[4:5]) in ([0], [64 + 1])
    found = torch.zeros_like(image)
    code.decode(data, found, coded)
    assert (found == image).all()


def test_latent_variables_beyond_the_bins_come_back():
    """Means of up to 50 and more, where bins end at 16: more bits, and the same images."""
    prior = prior_of(3)
    network = prior.networks()["network"]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for encoder in network.encoders:
            for parameter in encoder.parameters():
                parameter += 30 * torch.randn(parameter.shape, generator=generator)
    code, images = hierarchical_vae_code(prior.with_networks({"network": network})), noise(12)
    with Exact():
        mean, _ = code._levels[0].encoder(code._pixels.values[images])
    assert mean.abs().max() > 32
    assert (back(code, code_of(code, images), 12) == images).all()


def test_a_vae_is_a_hierarchy_of_one_level():
    """The same bits, but for bins and steps, as by hand: draw, push the pixels, push the latent variables."""
    prior = prior_of(1, priors.VAE)
    code, images = vae_code(prior), noise(2)
    data = code_of(code, images)
    assert list(data[:6]) == [2, 0, 0, 0, 0, 1]
    level, stack = code._levels[0], Stack()
    for i, image in enumerate(images):
        posterior = level.posterior(code._pixels.values[image[None]])
        bins = stack.pop(posterior) if i else posterior.argmax(-1).astype(np.int32)
        z = level.values(bins)
        with Exact():
            parameters = level.decoder(z)
        rows = (code._pixels.frequencies(parameters) - 1).reshape(64, 256).float().numpy()
        stack.push(image.reshape(-1).numpy().astype(np.int32), rows)
        stack.push(bins, np.full((32, 1024), 2**14 - 1, np.float32))
    assert data[6:] == stack.bytes()


@pytest.mark.parametrize("step", [0, 2, 64, 64 + 2, 64 + 3, 64 + 4, 255])
def test_steps_that_contradict_the_images_are_refused(step):
    """Of three levels; that what was not drawn has been is found, too."""
    code = hierarchical_vae_code(prior_of(3))
    data = bytearray(code_of(code, noise(1)))
    assert data[4] == 64 + 1
    data[4] = step
    with pytest.raises(FileError):
        back(code, bytes(data), 1)
