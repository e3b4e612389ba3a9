"""The variational autoencoder: its bounds beside exact evidence, its images, its training and its files."""

import math

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import DataError, DtypeError, FileError, ParameterError, ShapeError
from invgen.priors import VAE, Density, Generator, ImageFormat, Sampler
from invgen.priors.training import Training, train
from invgen.priors.vae.observations import Gaussian

from ...contracts.numbers import normal
from .autoencoders import at_random, pictures

DOUBLE = torch.float64
#: Pixels, latent variables and noise of the linear model.
PIXELS, LATENT, STD = 6, 3, 0.4


class Linear(nn.Module):
    """``x = W z + shift + noise``, whose posterior is known; it is encoded with `factor` times its deviation.

    Its covariance is diagonal, as the columns of W are orthogonal.
    """

    latent = LATENT

    def __init__(self, factor=1.0):
        super().__init__()
        columns = torch.linalg.qr(normal(PIXELS, LATENT))[0] * torch.tensor([0.5, 1.0, 2.0])
        self.register_buffer("columns", columns)
        self.register_buffer("shift", 0.1 * normal(PIXELS, seed=1))
        self.factor = factor

    def encoder(self, images):
        precision = 1 + self.columns.square().sum(0) / STD**2
        mean = (images.flatten(1) - self.shift) @ self.columns / STD**2 / precision
        return mean, (self.factor**2 / precision).log().expand_as(mean)

    def decoder(self, z):
        mean = z @ self.columns.mT + self.shift
        log_std = torch.full_like(mean, math.log(STD - Gaussian().least))
        return torch.stack([mean, log_std], dim=1).reshape(-1, 2, 2, PIXELS // 2)

    def forward(self, images, noise):
        mean, log_var = self.encoder(images)
        return mean, log_var, self.decoder(mean + (log_var / 2).exp() * noise)


def linear(factor=1.0, value_range=(-1.0, 3.0)):
    images = ImageFormat((2, PIXELS // 2), field="real", value_range=value_range)
    return VAE(Linear(factor), images, observation="gaussian")


def evidence(x):
    """Logarithm of the Gaussian density of images with values from -1 to 3."""
    network = Linear()
    covariance = network.columns @ network.columns.mT + STD**2 * torch.eye(PIXELS)
    law = torch.distributions.MultivariateNormal(1 + 2 * network.shift, 4 * covariance)
    return law.log_prob(x.flatten(-2))


IMAGES = 1 + 2 * normal(4, 5, 2, PIXELS // 2, seed=7)


@pytest.mark.parametrize("seed", [0, 1])
def test_with_the_exact_posterior_the_importance_weighted_bound_is_the_evidence(seed):
    """Each weight p(x, z) / q(z | x) is then p(x), whichever z is drawn."""
    for samples in (1, 5):
        found = linear().log_prob_bound(IMAGES, samples, seed)
        torch.testing.assert_close(found, evidence(IMAGES))


def test_with_the_exact_posterior_the_elbo_is_the_evidence_in_the_mean():
    """With the divergence in closed form the weights are random; their mean is the evidence."""
    prior = linear()
    found = torch.stack([prior.elbo(IMAGES, seed) for seed in range(400)])
    off = (found.mean(0) - evidence(IMAGES)) / (found.std(0) / math.sqrt(len(found)))
    assert off.abs().max() < 4


def test_the_gap_of_the_elbo_is_the_divergence_of_the_posteriors():
    """Of Gaussians with 1.5 times the deviation: log p(x) - ELBO = KL(q | p)."""
    factor = 1.5
    prior = linear(factor)
    found = torch.stack([prior.elbo(IMAGES[0, 0], seed) for seed in range(600)])
    gap = LATENT * (factor**2 - 1 - 2 * math.log(factor)) / 2
    expected = evidence(IMAGES[0, 0]) - gap
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found))


def test_the_importance_weighted_bound_rises_to_the_evidence():
    """Burda et al. (2016), theorem 1, with a posterior that is too wide."""
    prior, image = linear(2.0), IMAGES[0, 0]

    def bound(samples):
        return torch.stack(
            [prior.log_prob_bound(image, samples, seed) for seed in range(0, 300 * samples, samples)]
        )

    bounds = {k: bound(k) for k in (1, 4, 16, 64)}
    means = [float(b.mean()) for b in bounds.values()]
    errors = [float(b.std()) / math.sqrt(len(b)) for b in bounds.values()]
    exact = float(evidence(image))
    assert means == sorted(means)
    assert abs(means[-1] - exact) < 0.02 + 3 * errors[-1]
    assert means[0] < exact - 1


def test_the_bound_is_the_same_in_parts(monkeypatch):
    whole = linear(1.5).log_prob_bound(IMAGES, 7)
    monkeypatch.setattr("invgen.priors.vae.base._PIXELS", 3 * PIXELS)
    torch.testing.assert_close(linear(1.5).log_prob_bound(IMAGES, 7), whole)


def test_the_divergence_is_that_of_torch():
    from invgen.priors.vae.gaussian import divergence

    mean, log_var = normal(5, 4), normal(5, 4, seed=1)
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(divergence(mean, log_var), expected)


def test_posterior_and_reconstruction_are_those_of_the_linear_model():
    network, (mean, std) = Linear(), linear().encode(IMAGES)
    assert mean.shape == std.shape == (4, 5, LATENT)
    precision = torch.eye(LATENT) + network.columns.mT @ network.columns / STD**2
    centered = (IMAGES.flatten(-2) - 1) / 2 - network.shift
    torch.testing.assert_close(
        mean, torch.linalg.solve(precision, (centered @ network.columns / STD**2).mT).mT
    )
    torch.testing.assert_close(std, precision.diagonal().rsqrt().expand_as(std))
    again = 1 + 2 * (mean @ network.columns.mT + network.shift)
    torch.testing.assert_close(linear().reconstruct(IMAGES).flatten(-2), again)


def test_samples_of_the_linear_model_have_its_covariance():
    drawn = linear().sample(4000, 0).double().flatten(1)
    network = Linear()
    expected = 4 * (network.columns @ network.columns.mT + STD**2 * torch.eye(PIXELS))
    torch.testing.assert_close(torch.cov(drawn.mT), expected, rtol=0, atol=0.1 * float(expected.max()))
    means = linear().sample(4000, 0, means=True).double().flatten(1)
    assert int(torch.linalg.matrix_rank(torch.cov(means.mT), atol=1e-3)) == LATENT


KINDS = {
    "logistic": {"levels": 16, "mixtures": 2},
    "bernoulli": {},
    "gaussian": {"value_range": (-1.0, 3.0)},
    "color": {"image_shape": (3, 8, 12), "levels": 5},
}


def small(kind="logistic", **changes):
    """With weights at random, so that the posterior is not the prior."""
    settings = {"image_shape": (8, 12), "latent": 4, "widths": (8, 8), "blocks": 1, **KINDS[kind], **changes}
    observation = "logistic" if kind == "color" else kind
    return at_random(VAE.untrained(settings.pop("image_shape"), observation=observation, **settings))


@pytest.mark.parametrize("kind", KINDS)
def test_it_generates_and_has_bounds_of_any_batch(kind):
    prior = small(kind)
    assert isinstance(prior, Generator)
    assert isinstance(prior, Density)
    assert isinstance(prior, Sampler)
    x, z = pictures(prior, 2, 3, dtype=DOUBLE), normal(2, 3, 4)
    assert prior.latent_shape == (4,)
    assert prior.decode(z).shape == (2, 3, *prior.image_format.shape)
    for function, value in ((prior.decode, z), (prior.elbo, x), (prior.log_prob, x), (prior.reconstruct, x)):
        whole = function(value)
        assert whole.dtype == DOUBLE
        looped = torch.stack([torch.stack([function(each) for each in row]) for row in value])
        torch.testing.assert_close(whole, looped)
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.latent_log_prob(z), expected)
    assert prior.decode(z[:0]).shape == (0, 3, *prior.image_format.shape)
    low, high = prior.image_format.value_range
    if kind != "gaussian":
        assert low <= prior.decode(z).min() <= prior.decode(z).max() <= high


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_and_the_bounds_have_derivatives(kind):
    prior = small(kind, **({"image_shape": (3, 4, 4)} if kind == "color" else {"image_shape": (4, 4)}))
    assert torch.autograd.gradcheck(prior.decode, normal(2, 4).requires_grad_())
    low, high = prior.image_format.value_range
    between = low + (high - low) * (0.2 + 0.6 * pictures(prior, 2, dtype=DOUBLE).sub(low) / (high - low))
    assert torch.autograd.gradcheck(lambda x: prior.log_prob_bound(x, 2), between.requires_grad_())


@pytest.mark.parametrize("kind", KINDS)
def test_images_follow_from_their_own_seeds(kind):
    prior = small(kind)
    drawn = prior.sample(5, seed=3)
    torch.testing.assert_close(drawn[2:4], prior.sample(2, seed=5))
    assert not torch.equal(drawn[0], drawn[1])
    if prior.image_format.levels:
        levels = prior.image_format.to_levels(drawn)
        torch.testing.assert_close(prior.image_format.from_levels(levels, drawn), drawn)


def test_probabilities_of_all_images_sum_to_one():
    """The sixteen of 2 x 2 pixels of two levels."""
    prior = VAE.untrained((2, 2), widths=(8,), latent=2, observation="bernoulli", blocks=1)
    every = torch.cartesian_prod(*4 * [torch.tensor([0.0, 1.0])]).reshape(16, 2, 2).double()
    total = prior.log_prob_bound(every, 2000).exp().sum()
    # the untrained posterior is the prior: the mean over samples of probabilities that sum to one
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_from_a_file(kind, tmp_path):
    prior, path = small(kind), tmp_path / "prior.safetensors"
    prior.save(path, data="none")
    again = ig.priors.load(path)
    assert isinstance(again, VAE)
    assert again.image_format == prior.image_format
    assert repr(again) == repr(prior)
    x, z = pictures(prior, 2), normal(2, 4, dtype=torch.float32)
    assert torch.equal(again.decode(z), prior.decode(z))
    assert torch.equal(again.log_prob(x), prior.log_prob(x))
    header = ig.priors.about(path)
    assert header["family"] == "vae"
    assert header["data"] == "none"


def test_files_that_contradict_themselves_are_refused(tmp_path):
    prior, path = small("bernoulli"), tmp_path / "prior.safetensors"
    prior.save(path)
    from invgen.priors.files import checkpoints

    header, tensors = checkpoints.read(path)
    with pytest.raises((FileError, ParameterError)):
        VAE.restored(path, {**header, "observation": "gaussian"}, tensors)
    with pytest.raises(FileError):
        VAE.restored(path, {name: value for name, value in header.items() if name != "mixtures"}, tensors)


def test_training_lowers_the_bound_and_is_resumed_to_the_same_bits(tmp_path):
    prior = VAE.untrained((8, 8), latent=2, widths=(8, 8), blocks=1, levels=8)
    # squares of one brightness each
    images = ((torch.arange(32) % 8) / 7.0)[:, None, None].expand(-1, 8, 8).clone()
    settings = {"warmup": 5, "learning_rate": 1e-2, "save_seconds": 0.0}

    def stop(_, step):
        if step == 10:
            raise KeyboardInterrupt
        return {}

    whole = train(prior, images, folder=tmp_path / "whole", batch_size=8, training=Training(60, **settings))
    training = Training(60, **settings, validate_every=10)
    with pytest.raises(KeyboardInterrupt):
        train(prior, images, folder=tmp_path / "stopped", batch_size=8, training=training, show=stop)
    resumed = train(prior, images, folder=tmp_path / "stopped", batch_size=8, training=training)
    state, other = (p.networks()["network"].state_dict() for p in (whole, resumed))
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert whole.elbo(images).mean() > prior.elbo(images).mean() + 30


def test_what_is_no_image_and_no_latent_vector():
    prior = small("logistic")
    x, z = pictures(prior), normal(4)
    for method in (prior.elbo, prior.log_prob, prior.encode, prior.reconstruct):
        with pytest.raises(ShapeError, match=r"\(8, 12\); got \(8, 11\)"):
            method(x[:, :-1])
        with pytest.raises(DataError, match="16 levels from 0 to 1"):
            method(x + 1)
        with pytest.raises(DataError):
            method(x * torch.nan)
        with pytest.raises(DtypeError):
            method(x.byte())
    for method in (prior.decode, prior.latent_log_prob):
        with pytest.raises(ShapeError, match=r"latent variables \(\*batch, 4\); got \(3,\)"):
            method(z[:3])
        with pytest.raises(DataError):
            method(z * torch.inf)
        with pytest.raises(DtypeError, match="int64"):
            method(z.long())
        with pytest.raises(DtypeError, match="list"):
            method([0.0] * 4)
    with pytest.raises(ParameterError, match="samples"):
        prior.log_prob_bound(x, 0)
    with pytest.raises(ParameterError):
        prior.sample(0, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"image_shape": (28, 30)}, ShapeError, "multiples of 4; got 28 x 30"),
        ({"image_shape": (28,)}, ShapeError, r"\(28,\)"),
        ({"latent": 0}, ParameterError, "latent"),
        ({"widths": ()}, ShapeError, "one width or more"),
        ({"blocks": 0}, ParameterError, "blocks"),
        ({"levels": 1}, ParameterError, "levels"),
        ({"observation": "poisson"}, ParameterError, "'poisson'"),
        ({"value_range": (1.0, 0.0)}, ParameterError, "value_range"),
    ],
)
def test_what_cannot_be_built(arguments, error, said):
    with pytest.raises(error, match=said):
        VAE.untrained(**{"image_shape": (28, 28), **arguments})


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda x: x[:, :, 1:], ShapeError, r"is of images \(8, 12\)"),
        (lambda x: 2 * x, DataError, "goes from"),
        (lambda x: x[:3], ParameterError, "fewer|more than the 3"),
        (lambda x: x * torch.nan, DataError, "NaN"),
    ],
)
def test_images_it_cannot_learn_from(change, error, said, tmp_path):
    prior = small()
    with pytest.raises(error, match=said):
        train(prior, change(pictures(prior, 6)), folder=tmp_path, batch_size=4, training=Training(1))


def test_the_format_has_a_shape_and_a_range():
    with pytest.raises(ParameterError, match="shape and a value_range"):
        VAE(Linear(), ImageFormat(axes=2), observation="gaussian")
