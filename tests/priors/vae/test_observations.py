"""Distributions of pixels: probabilities that sum to one, means, and samples that follow them."""

import math

import pytest
import torch

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.vae.observations import Bernoulli, DiscretizedLogistic, Gaussian, observation_model

from ...contracts.numbers import normal

LEVELS = {"bernoulli": Bernoulli(), **{f"logistic {n}": DiscretizedLogistic(n, 2) for n in (2, 3, 256)}}


def levels_of(model):
    """All values of a pixel, each an image ``(levels, 1, 1, 1)``."""
    return torch.linspace(-1, 1, model.levels, dtype=torch.float64)[:, None, None, None]


def parameters(model, scale, pixels=20):
    return scale * normal(1, model.numbers, 1, pixels)


def probabilities(model, given):
    """Of each level, ``(levels, pixels)``."""
    pixels = [given[..., i : i + 1] for i in range(given.shape[-1])]
    values = levels_of(model)
    return torch.stack([(-model.nll(values, p.expand(len(values), -1, -1, -1))).exp() for p in pixels], dim=1)


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("model", LEVELS.values(), ids=LEVELS)
def test_probabilities_of_all_levels_sum_to_one(model, scale):
    """With scales of far less than a level and of far more than the range, and means beyond it."""
    total = probabilities(model, parameters(model, scale)).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_the_first_and_the_last_level_have_the_tails():
    model = DiscretizedLogistic(256)
    given = torch.tensor([0.0, 0.3, math.log(0.2)], dtype=torch.float64).reshape(1, 3, 1, 1)
    cut = torch.tensor([-1 + 1 / 255, 1 - 1 / 255], dtype=torch.float64)
    below = torch.sigmoid((cut - 0.3) / 0.2)
    found = probabilities(model, given)[:, 0]
    torch.testing.assert_close(found[0], below[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(found[-1], 1 - below[1], rtol=1e-12, atol=0)


def test_the_mean_of_bernoulli_pixels_is_that_of_their_levels():
    model, given = LEVELS["bernoulli"], parameters(LEVELS["bernoulli"], 2.0)
    expected = (levels_of(model)[:, 0, 0] * probabilities(model, given)).sum(0)
    torch.testing.assert_close(model.mean(given).flatten(), expected)


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -2.0, 0.0])
def test_the_mean_of_logistics_is_that_of_their_levels(log_scale):
    """To a tenth of a percent of a level where the scale is more than that, else to half a level."""
    model = DiscretizedLogistic(256, 2)
    given = normal(1, 6, 1, 50)
    given[:, 4:] = log_scale
    expected = (levels_of(model)[:, 0, 0] * probabilities(model, given)).sum(0)
    level = 2 / 255
    off = (model.mean(given).flatten() - expected).abs().max() / level
    assert off < (1e-3 if math.exp(log_scale) > level else 0.5)


def test_values_of_the_gaussian_are_those_of_torch():
    model, given, images = Gaussian(least=0.1), normal(3, 4, 2, 5), normal(3, 2, 2, 5, seed=1)
    mean, log_std = given.chunk(2, dim=1)
    expected = torch.distributions.Normal(mean, 0.1 + log_std.exp()).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(-model.nll(images, given), expected)


def test_channels_are_independent_pixels():
    model = DiscretizedLogistic(4, 2)
    given, values = normal(1, 6 * 3, 2, 2), torch.tensor([-1, -1 / 3, 1 / 3, 1], dtype=torch.float64)
    image = values[torch.randint(4, (1, 3, 2, 2), generator=torch.Generator().manual_seed(0))]
    each = given.reshape(1, 6, 3, 2, 2)
    apart = sum(model.nll(image[:, c : c + 1], each[:, :, c]) for c in range(3))
    torch.testing.assert_close(model.nll(image, given), apart)


@pytest.mark.parametrize("model", LEVELS.values(), ids=LEVELS)
def test_samples_are_levels_with_their_probabilities(model):
    n, pixels = 2000, 4
    given = parameters(model, 1.0, pixels).expand(n, -1, -1, -1)
    drawn = model.sample(given, Draws(range(n))).reshape(n, pixels)
    index = ((drawn + 1) / 2 * (model.levels - 1)).round().long()
    torch.testing.assert_close(levels_of(model).flatten()[index], drawn)
    expected = probabilities(model, given[:1])
    for i in range(pixels):
        # Kolmogorov's distance of 2,000 samples is beyond 1.95 / sqrt(n) once in a thousand times
        found = torch.bincount(index[:, i], minlength=model.levels).double() / n
        assert (found.cumsum(0) - expected[:, i].cumsum(0)).abs().max() < 1.95 / math.sqrt(n)


def test_gaussian_samples_have_their_mean_and_deviation():
    n, model = 2000, Gaussian()
    given = torch.tensor([0.4, math.log(0.3)], dtype=torch.float64).reshape(1, 2, 1, 1).expand(n, -1, -1, -1)
    drawn = model.sample(given, Draws(range(n)))
    assert abs(float(drawn.mean()) - 0.4) < 3 * 0.31 / math.sqrt(n)
    assert abs(float(drawn.std()) / 0.31 - 1) < 3 / math.sqrt(2 * n)


@pytest.mark.parametrize(
    ("name", "levels", "mixtures", "said"),
    [
        ("poisson", 256, 1, "'poisson'"),
        ("bernoulli", 256, 1, "levels=2; got 256"),
        ("gaussian", 256, 1, "levels=None; got 256"),
        ("logistic", None, 1, "give levels"),
        ("logistic", 256, 0, "mixtures"),
    ],
)
def test_observations_that_do_not_exist(name, levels, mixtures, said):
    with pytest.raises(ParameterError, match=said):
        observation_model(name, levels, mixtures)
