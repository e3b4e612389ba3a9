"""The hierarchical variational autoencoder: its bounds beside exact evidence, its levels, and its files."""

import math

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import DataError, FileError, ParameterError, ShapeError
from invgen.priors import VAE, Density, Generator, HierarchicalVAE, ImageFormat, Sampler
from invgen.priors.files import checkpoints
from invgen.priors.nets.hierarchical import HierarchicalAutoencoder
from invgen.priors.vae.gaussian import divergence
from invgen.priors.vae.observations import Gaussian

from ...contracts.numbers import normal
from .autoencoders import at_random, pictures

DOUBLE = torch.float64
#: Pixels, latent variables of each of two levels, and noise of the linear model.
SHAPE, LATENT, STD = (2, 4), 2, 0.4
PIXELS = math.prod(SHAPE)


class Given(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def linear(factor=1.0):
    """``z_1 = slope z_2 + spread e_1``, ``x = W z_1 + STD e_0``: both posteriors are known, and diagonal.

    They are encoded with `factor` times their deviations.
    """
    columns = torch.linalg.qr(normal(PIXELS, LATENT))[0] * torch.tensor([0.5, 2.0])
    slope, spread = torch.tensor([[0.6, -1.2]]).double(), torch.tensor([[0.8, 0.3]]).double()
    marginal = slope**2 + spread**2
    shape = (LATENT, 1, 1)

    def gaussian(mean, variance):
        return mean.reshape(-1, *shape), variance.log().expand_as(mean).reshape(-1, *shape)

    def first(images):
        precision = 1 / marginal + columns.square().sum(0) / STD**2
        mean = images.flatten(1) @ columns / STD**2 / precision
        return gaussian(mean, factor**2 / precision)

    def second(below):
        precision = 1 + slope**2 / spread**2
        return gaussian(below.flatten(1) * slope / spread**2 / precision, factor**2 / precision)

    def pixels(z):
        mean = z.flatten(1) @ columns.mT
        log_std = torch.full_like(mean, math.log(STD - Gaussian().least))
        return torch.stack([mean, log_std], dim=1).reshape(-1, 2, *SHAPE)

    network = HierarchicalAutoencoder((1, 2, 2), 2, (LATENT, LATENT), (4,))
    network.encoders = nn.ModuleList([Given(first), Given(second)])
    network.decoder.levels = nn.ModuleList([Given(lambda z: gaussian(z.flatten(1) * slope, spread**2))])
    network.decoder.pixels = Given(pixels)
    images = ImageFormat(SHAPE, field="real", value_range=(-1.0, 1.0))
    prior = HierarchicalVAE(network, images, observation="gaussian")
    covariance = (columns * marginal) @ columns.mT + STD**2 * torch.eye(PIXELS)
    return prior, torch.distributions.MultivariateNormal(torch.zeros(PIXELS).double(), covariance)


IMAGES = normal(3, 2, *SHAPE, seed=7)


def evidence():
    return linear()[1].log_prob(IMAGES.flatten(-2))


@pytest.mark.parametrize("samples", [1, 5])
def test_with_the_exact_posterior_the_importance_weighted_bound_is_the_evidence(samples):
    """Each weight p(x, z_1, z_2) / q(z_1, z_2 | x) is then p(x), whatever is drawn."""
    torch.testing.assert_close(linear()[0].log_prob_bound(IMAGES, samples, seed=3), evidence())


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_gap_of_the_elbo_is_the_divergence_of_the_posteriors(factor):
    """Of Gaussians with `factor` times the deviation, at each of the levels."""
    prior, _ = linear(factor)
    found = torch.stack([prior.elbo(IMAGES, seed) for seed in range(600)])
    gap = 2 * LATENT * (factor**2 - 1 - 2 * math.log(factor)) / 2
    off = (found.mean(0) - evidence() + gap) / (found.std(0) / math.sqrt(len(found)))
    assert off.abs().max() < 4


def test_the_importance_weighted_bound_rises_to_the_evidence():
    prior, _ = linear(2.0)
    means = [
        float(torch.stack([prior.log_prob_bound(IMAGES, k, k * i) for i in range(200)]).mean())
        for k in (1, 8, 64)
    ]
    assert means == sorted(means)
    assert means[0] < float(evidence().mean()) - 1
    assert abs(means[-1] - float(evidence().mean())) < 0.1


def test_samples_of_the_linear_model_have_its_covariance():
    prior, law = linear()
    drawn = prior.sample(4000, 0).double().flatten(1)
    expected = law.covariance_matrix
    torch.testing.assert_close(torch.cov(drawn.mT), expected, rtol=0, atol=0.1 * float(expected.max()))


def test_the_divergence_of_one_level_is_that_of_a_vae():
    prior = HierarchicalVAE.untrained((4, 4), latent=(2,), widths=(8,))
    network, noise = prior.networks()["network"], normal(3, 8, dtype=torch.float32)
    (level,), _ = network(torch.rand(3, 1, 4, 4), noise)
    found = prior._divergence([level])
    torch.testing.assert_close(found, divergence(level.mean.flatten(1), level.log_var.flatten(1)))


def test_each_level_knows_the_one_below_before_it_learns():
    """Posteriors and priors that both know nothing are a stationary point, where levels stay unused."""
    network = HierarchicalVAE.untrained((4, 4), latent=(2, 2, 2), widths=(8,)).networks()["network"]
    levels, _ = network(torch.rand(2, 1, 4, 4), normal(2, 24, dtype=torch.float32))
    assert all((level.mean[0] - level.mean[1]).abs().max() > 0.01 for level in levels[1:])
    assert all(not level.prior_mean.any() for level in levels)


def test_free_bits_keep_the_loss_of_levels_above_the_first_from_falling_further():
    """The loss is the bound where they take more, else what they may take and the bound of the first one."""
    x = 2 * pictures(small())[None, None] - 1
    losses = {}
    for bits in (0.0, 100.0):
        prior = small(free_bits=bits)
        losses[bits] = float(prior.loss(prior.networks(), x, torch.Generator().manual_seed(0)))
    network, generator = prior.networks()["network"], torch.Generator().manual_seed(0)
    levels, parameters = network(x, torch.randn(1, NUMBERS, generator=generator))
    nll, size = float(prior._observation.nll(x, parameters)), 96 * math.log(2)
    assert losses[0.0] == pytest.approx((nll + float(prior._divergence(levels))) / size, rel=1e-5)
    level = levels[0]
    cross = torch.distributions.Normal(level.prior_mean, (level.prior_log_var / 2).exp()).log_prob(level.z)
    entropy = torch.distributions.Normal(level.mean, (level.log_var / 2).exp()).entropy()
    first = float(-(cross + entropy).sum())
    assert losses[100.0] == pytest.approx((nll + first) / size + 100 * (NUMBERS - 12) / 96, rel=1e-5)


KINDS = {
    "logistic": {"levels": 16, "mixtures": 2},
    "bernoulli": {},
    "gaussian": {"value_range": (-1.0, 3.0)},
    "color": {"image_shape": (3, 8, 12), "levels": 5},
}
#: Numbers of all levels, of 2 x 3 pixels.
NUMBERS = 6 * (2 + 1 + 3)


def small(kind="logistic", **changes):
    """With weights at random, so that all levels matter."""
    settings = {"image_shape": (8, 12), "latent": (2, 1, 3), "widths": (8, 8), **KINDS[kind], **changes}
    observation = "logistic" if kind == "color" else kind
    return at_random(
        HierarchicalVAE.untrained(settings.pop("image_shape"), observation=observation, **settings)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_generates_and_has_bounds_of_any_batch(kind):
    prior = small(kind)
    for capability in (Generator, Density, Sampler):
        assert isinstance(prior, capability)
    assert prior.latent_shape == (NUMBERS,)
    assert prior.latent_shapes == ((2, 2, 3), (1, 2, 3), (3, 2, 3))
    x, z = pictures(prior, 2, 3, dtype=DOUBLE), normal(2, 3, NUMBERS)
    for function, value in ((prior.decode, z), (prior.elbo, x), (prior.log_prob, x), (prior.reconstruct, x)):
        whole = function(value)
        assert whole.dtype == DOUBLE
        looped = torch.stack([torch.stack([function(each) for each in row]) for row in value])
        torch.testing.assert_close(whole, looped)


def test_the_bound_is_the_same_in_parts(monkeypatch):
    prior = small()
    x = pictures(prior, 4)
    whole = prior.log_prob_bound(x, 7)
    monkeypatch.setattr("invgen.priors.vae.base._PIXELS", 3 * 96)
    torch.testing.assert_close(prior.log_prob_bound(x, 7), whole)


def test_derivatives_of_images_and_bounds():
    prior = small(image_shape=(4, 4), latent=(1, 2))
    assert torch.autograd.gradcheck(prior.decode, normal(2, 3).requires_grad_())
    between = 0.1 + 0.8 * pictures(prior, 2, dtype=DOUBLE)
    assert torch.autograd.gradcheck(lambda x: prior.log_prob_bound(x, 2), between.requires_grad_())


def test_images_are_decoded_level_by_level():
    """As by hand from the last level on; the stages are the same maps."""
    prior, z = small(), normal(2, NUMBERS, dtype=torch.float32)
    network = prior.networks()["network"]
    top, middle, first = (part.unflatten(1, (-1, 2, 3)) for part in z.split([18, 6, 12], dim=1))
    for level, noise in ((1, middle), (0, first)):
        mean, log_var = network.decoder.levels[level](top)
        top = mean + (log_var / 2).exp() * noise
    expected = prior._decoded(network.decoder.pixels(top))
    torch.testing.assert_close(prior.decode(z), expected)
    images = z
    for stage in prior.stages(z):
        images = stage(images)
    torch.testing.assert_close(images, expected)
    torch.testing.assert_close(prior.decode_with(prior.weights(z), z), expected)


def test_means_are_encoded_to_the_numbers_that_decode_to_them():
    """Whichever level: each number is where its own mean is within the prior of its level."""
    prior = small()
    x, network = pictures(prior, 5), prior.networks()["network"]
    means, posterior = [2 * x[:, None] - 1], prior.encode(x)
    for encoder in network.encoders:
        means.append(encoder(means[-1])[0])
    levels = network.decoder.split(posterior.mean)[::-1]
    torch.testing.assert_close(levels[2], means[3])
    mean, log_var = network.decoder.levels[0](means[2])
    torch.testing.assert_close(mean + (log_var / 2).exp() * levels[0], means[1])
    torch.testing.assert_close(prior.reconstruct(x), prior._decoded(network.decoder.pixels(means[1])))
    found = network.decoder.split(posterior.std)[::-1][0] * (log_var / 2).exp()
    torch.testing.assert_close(found, (network.encoders[0](means[0])[1] / 2).exp())
    assert 0.1 <= found.min() < found.max() <= 1


def test_probabilities_of_all_images_sum_to_one():
    """The sixteen of 2 x 2 pixels of two levels: the mean of the weights is the probability."""
    prior = small("bernoulli", image_shape=(2, 2), latent=(2, 1), widths=(8,))
    every = torch.cartesian_prod(*4 * [torch.tensor([0.0, 1.0])]).reshape(16, 2, 2).double()
    sums = torch.stack([prior.log_prob_bound(every, 400, 400 * i).exp().sum() for i in range(20)])
    assert abs(sums.mean() - 1) < 4 * sums.std() / math.sqrt(len(sums))
    assert sums.std() < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_from_a_file(kind, tmp_path):
    prior, path = small(kind), tmp_path / "prior.safetensors"
    prior.save(path)
    again = ig.priors.load(path)
    assert isinstance(again, HierarchicalVAE)
    assert repr(again) == repr(prior)
    x = pictures(prior, 2)
    assert torch.equal(again.log_prob(x), prior.log_prob(x))
    assert torch.equal(again.sample(2, 0), prior.sample(2, 0))


def test_the_numbers_of_levels_are_those_of_a_generator():
    prior = small()
    assert not isinstance(prior, VAE)
    assert torch.equal(prior.sample(3, seed=4)[1:], prior.sample(2, seed=5))
    with pytest.raises(ShapeError, match=rf"latent variables \(\*batch, {NUMBERS}\); got \(3,\)"):
        prior.decode(normal(3))
    with pytest.raises(DataError, match="16 levels from 0 to 1"):
        prior.elbo(pictures(prior) + 1)


def test_files_that_contradict_themselves_are_refused(tmp_path):
    prior, path = small("bernoulli"), tmp_path / "prior.safetensors"
    prior.save(path)
    header, tensors = checkpoints.read(path)
    other = VAE.untrained((8, 12), latent=4, widths=(8, 8), observation="bernoulli")
    other.save(path)
    foreign, foreign_tensors = checkpoints.read(path)
    with pytest.raises(FileError, match="expects a HierarchicalAutoencoder; got VariationalAutoencoder"):
        HierarchicalVAE.restored(path, {**header, "architecture": foreign["architecture"]}, foreign_tensors)
    with pytest.raises(FileError):
        HierarchicalVAE.restored(path, header, dict(list(tensors.items())[1:]))
    with pytest.raises(FileError):
        HierarchicalVAE.restored(path, {**header, "observation": "gaussian"}, tensors)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"image_shape": (28, 30)}, ShapeError, "multiples of 4; got 28 x 30"),
        ({"latent": ()}, ParameterError, "one level or more"),
        ({"latent": (4, 0)}, ParameterError, "latent"),
        ({"latent": 4}, ParameterError, "one level or more.* got 4"),
        ({"widths": ()}, ShapeError, "one width or more"),
        ({"blocks": 0}, ParameterError, "blocks"),
        ({"free_bits": -1.0}, ParameterError, "free_bits"),
        ({"free_bits": math.nan}, ParameterError, "free_bits"),
        ({"observation": "poisson"}, ParameterError, "'poisson'"),
    ],
)
def test_what_cannot_be_built(arguments, error, said):
    with pytest.raises(error, match=said):
        HierarchicalVAE.untrained(**{"image_shape": (28, 28), **arguments})
