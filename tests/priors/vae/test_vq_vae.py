"""The vector-quantized autoencoder: its images and probabilities, its training and its files."""

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.priors import VQVAE, Density, Generator, Sampler
from invgen.priors.training import Training, train

from ...contracts.numbers import normal

DOUBLE = torch.float64


def small(image_shape=(4, 8), **changes):
    """With weights at random, so that codes are not all the same and have different probabilities."""
    settings = {"codes": 5, "code_width": 3, "widths": (8, 8), "blocks": 1, "layers": 1, "levels": 4}
    prior = VQVAE.untrained(image_shape, **{**settings, "mixtures": 2, **changes})
    networks, generator = prior.networks(), torch.Generator().manual_seed(1)
    for network in networks.values():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return prior.with_networks(networks)


def pictures(prior, *batch):
    images = prior.image_format
    levels = torch.randint(4, (*batch, *images.shape), generator=torch.Generator().manual_seed(3))
    low, high = images.value_range
    return low + (high - low) * levels.double() / 3


def every_latent(prior):
    """The vectors of all maps of codes."""
    quantizer = prior.networks()["autoencoder"].quantizer
    _, *size = prior.latent_shape
    places = size[0] * size[1]
    codes = torch.cartesian_prod(*places * [torch.arange(len(quantizer.codebook))]).reshape(-1, *size)
    return quantizer.lookup(codes).double()


@pytest.mark.parametrize(
    ("image_shape", "changes"),
    [
        ((4, 8), {}),
        ((3, 8, 4), {}),
        ((4, 8), {"observation": "gaussian", "value_range": (-1.0, 3.0)}),
        ((4, 8), {"observation": "bernoulli"}),
    ],
)
def test_it_generates_and_has_bounds_of_any_batch(image_shape, changes):
    prior = small(image_shape, **changes)
    for protocol in (Generator, Density, Sampler):
        assert isinstance(prior, protocol)
    x, z = pictures(prior, 2, 3), normal(2, 3, *prior.latent_shape)
    assert prior.decode(z).shape == (2, 3, *image_shape)
    assert prior.encode(x).shape == z.shape
    for function, value in (
        (prior.decode, z),
        (prior.latent_log_prob, z),
        (prior.log_prob, x),
        (prior.reconstruct, x),
    ):
        whole = function(value)
        assert whole.dtype == DOUBLE
        looped = torch.stack([torch.stack([function(each) for each in row]) for row in value])
        torch.testing.assert_close(whole, looped)
    drawn = prior.sample(4, seed=3)
    torch.testing.assert_close(drawn[1:3], prior.sample(2, seed=4))
    assert prior.sample(2, seed=0, means=True).shape == (2, *image_shape)


def test_probabilities_of_all_maps_of_codes_sum_to_one():
    prior = small((4, 12))
    total = prior.latent_log_prob(every_latent(prior)).exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_samples_have_the_probabilities_of_their_codes():
    """Images are the mean ones of each of the 25 maps of two codes, which differ."""
    prior, n = small(), 3000
    z = every_latent(prior)
    images, expected = prior.decode(z).flatten(1), prior.latent_log_prob(z).exp()
    drawn = prior.sample(n, seed=0, means=True).double().flatten(1)
    distance, which = torch.cdist(drawn, images).min(1)
    assert distance.max() < 1e-4
    found = torch.bincount(which, minlength=len(z)) / n
    assert ((found - expected).abs() < 4 * (expected * (1 - expected) / n).sqrt() + 1e-9).all()


def test_log_prob_is_a_term_of_the_probability():
    """That of all images of two levels sums to less than one; the sum over all codes to one."""
    prior = small((2, 4), widths=(8,), levels=2)
    every = torch.cartesian_prod(*8 * [torch.tensor([0.0, 1.0])]).reshape(-1, 2, 4).double()
    bound = prior.log_prob(every)
    z, network = every_latent(prior), prior.networks()["autoencoder"].double()
    nll = torch.stack(
        [
            prior._observation.nll(
                2 * every[:, None] - 1, network.decoder(one[None]).expand(len(every), -1, -1, -1)
            )
            for one in z
        ]
    )
    terms = prior.latent_log_prob(z)[:, None] - nll
    exact = torch.logsumexp(terms, 0)
    torch.testing.assert_close(exact.exp().sum(), torch.tensor(1.0, dtype=DOUBLE))
    assert (bound < exact).all()
    # it is the term of the codes of each image
    torch.testing.assert_close(
        (terms - bound).abs().min(0).values, torch.zeros_like(bound), atol=1e-6, rtol=0
    )


def test_latents_are_quantized_and_the_gradient_goes_straight_through():
    prior = small()
    network = prior.networks()["autoencoder"].double()
    z = normal(*prior.latent_shape).requires_grad_()
    vectors = network.quantizer.lookup(network.quantizer.nearest(z[None]))
    torch.testing.assert_close(prior.decode(z), prior.decode(vectors[0]))
    (through,) = torch.autograd.grad(prior.decode(z).square().sum(), z)
    at = vectors.detach().clone().requires_grad_()
    image = (prior._observation.mean(network.decoder(at)) + 1) / 2
    (expected,) = torch.autograd.grad(image.square().sum(), at)
    torch.testing.assert_close(through, expected[0])
    (slope,) = torch.autograd.grad(prior.latent_log_prob(z), z)
    assert not slope.any()


def test_images_of_the_codebook_are_what_is_encoded():
    prior = small()
    z = prior.encode(pictures(prior, 4))
    torch.testing.assert_close(prior.decode(z), prior.reconstruct(pictures(prior, 4)))
    book = prior.networks()["autoencoder"].quantizer.codebook.double()
    distance = torch.cdist(z.movedim(1, -1).reshape(-1, 3), book).min(1).values
    assert distance.max() < 1e-6


def test_it_comes_back_from_a_file(tmp_path):
    prior, path = small(), tmp_path / "prior.safetensors"
    prior.save(path, data="none")
    again = ig.priors.load(path)
    assert isinstance(again, VQVAE)
    assert again.image_format == prior.image_format
    assert repr(again) == repr(prior)
    assert torch.equal(again.sample(2, 0), prior.sample(2, 0))
    assert torch.equal(again.log_prob(pictures(prior)), prior.log_prob(pictures(prior)))
    assert ig.priors.about(path)["family"] == "vq-vae"


@pytest.mark.slow
def test_training_learns_and_is_resumed_to_the_same_bits(tmp_path):
    """Squares of one brightness: eight images of eight levels."""
    settings = {"codes": 8, "code_width": 4, "widths": (8, 8), "blocks": 1, "layers": 1, "levels": 8}
    prior = VQVAE.untrained((4, 4), **settings)
    images = ((torch.arange(32) % 8) / 7.0)[:, None, None].expand(-1, 4, 4).clone()
    options = {"warmup": 5, "learning_rate": 1e-2, "save_seconds": 0.0}

    def stop(_, step):
        if step == 20:
            raise KeyboardInterrupt
        return {}

    def learned(folder, **changes):
        training = Training(60, **options, **({"validate_every": 20} if changes else {}))
        return train(prior, images, folder=tmp_path / folder, batch_size=16, training=training, **changes)

    whole = learned("whole")
    with pytest.raises(KeyboardInterrupt):
        learned("stopped", show=stop)
    resumed = learned("stopped", held_out=images)
    for name in ("autoencoder", "codes"):
        state, other = (p.networks()[name].state_dict() for p in (whole, resumed))
        assert all(torch.equal(state[key], other[key]) for key in state)
    assert whole.log_prob(images).mean() > prior.log_prob(images).mean() + 10
    # the bound is that of at least a few of the images told apart
    assert len(whole.encode(images).flatten(1).unique(dim=0)) > 2


def test_what_is_no_image_and_no_latent_map():
    prior = small()
    x, z = pictures(prior), normal(*prior.latent_shape)
    for method in (prior.log_prob, prior.encode, prior.reconstruct):
        with pytest.raises(ShapeError, match=r"\(4, 8\); got \(4, 7\)"):
            method(x[:, :-1])
        with pytest.raises(DataError, match="4 levels from 0 to 1"):
            method(x + 1)
        with pytest.raises(DataError):
            method(x * torch.nan)
    for method in (prior.decode, prior.latent_log_prob):
        with pytest.raises(ShapeError, match=r"VQVAE.* \(\*batch, 3, 1, 2\); got \(3, 1, 1\)"):
            method(z[..., :1])
        with pytest.raises(DataError):
            method(z * torch.inf)
        with pytest.raises(DtypeError, match="complex"):
            method(z + 0j)
    with pytest.raises(ParameterError):
        prior.sample(1.5, 0)


def test_what_cannot_be_built():
    with pytest.raises(ShapeError, match="multiples of 4; got 28 x 30"):
        VQVAE.untrained((28, 30))
    with pytest.raises(ParameterError, match="codes"):
        VQVAE.untrained((8, 8), codes=1)
    networks = small().networks()
    with pytest.raises(DtypeError, match="GatedMaskedCNN; got Identity"):
        VQVAE(networks["autoencoder"], nn.Identity(), small().image_format)
