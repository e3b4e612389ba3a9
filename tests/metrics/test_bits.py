"""Bits per dimension against entropies and integrals that are known."""

import math

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.metrics import bits_per_dimension
from invgen.priors import ImageFormat


class Factorized:
    """Independent pixels with these probabilities of 256 levels."""

    image_format = ImageFormat((4, 5), value_range=(-1.0, 3.0), levels=256)

    def __init__(self, probabilities):
        self.probabilities = probabilities.double()

    def log_prob(self, x):
        levels = self.image_format.to_levels(x).reshape(*x.shape)
        return self.probabilities.log()[levels].sum((-2, -1))


class BoundOf(Factorized):
    log_prob_kind = "lower bound"


class Uniform:
    """A density that is constant over the boxes of all levels."""

    def __init__(self, low, high):
        self.image_format = ImageFormat((4, 5), value_range=(low, high))
        self.width = (high - low) * 256 / 255

    def log_prob(self, x):
        low, high = self.image_format.value_range
        half = (self.width - (high - low)) / 2
        assert low - half <= x.min()
        assert x.max() <= high + half
        return torch.full(x.shape[:-2], -20 * math.log(self.width))


class Ramp:
    """Independent pixels in 0 to 1, each with the density 1/2 + x."""

    image_format = ImageFormat(axes=2, value_range=(0.0, 1.0))

    def log_prob(self, x):
        return (0.5 + x).log().sum((-2, -1))


class Exponential:
    """Independent pixels whose density falls by exp(-5) from one level to the next."""

    image_format = ImageFormat(axes=2, value_range=(0.0, 255.0))

    def log_prob(self, x):
        return (math.log(5) - 5 * (x + 0.5)).sum((-2, -1))


def images(n=64, shape=(4, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def test_a_uniform_probability_takes_eight_bits():
    found = bits_per_dimension(Factorized(torch.full((256,), 1 / 256)), images())
    assert found.mean == pytest.approx(8, abs=1e-12)
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert found.kind == "exact"
    assert found.values.shape == (64,)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_a_uniform_density_takes_eight_bits_whatever_its_unit(ends):
    found = bits_per_dimension(Uniform(*ends), images(), dtype=torch.float64)
    assert found.mean == pytest.approx(8, abs=1e-6)
    assert found.kind == "upper bound"


def test_images_of_a_factorized_model_take_its_entropy():
    probabilities = torch.arange(1, 257).double().square()
    probabilities /= probabilities.sum()
    entropy = float(-(probabilities * probabilities.log2()).sum())
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(probabilities, 2000 * 20, replacement=True, generator=generator)
    found = bits_per_dimension(Factorized(probabilities), drawn.reshape(2000, 4, 5).byte())
    assert abs(found.mean - entropy) < 4 * found.standard_error
    assert found.standard_error == pytest.approx(float(found.values.std()) / math.sqrt(2000))


def test_bits_of_a_gaussian_density_are_those_of_its_integral():
    """E_u of (x + u)^2 is x^2 + w^2 / 12."""
    levels, w, std = images(400), 1 / 255, 0.4
    prior = ig.priors.Gaussian(
        torch.full((4, 5), 0.5, dtype=torch.float64), torch.full((4, 5), std**2, dtype=torch.float64)
    )
    squares = ((levels.double() * w - 0.5).square() + w**2 / 12).mean()
    nats = float(squares) / (2 * std**2) + math.log(std * math.sqrt(2 * math.pi)) - math.log(w)
    found = bits_per_dimension(prior, levels, samples=50, value_range=(0, 1), dtype=torch.float64)
    assert found.mean == pytest.approx(nats / math.log(2), abs=1e-4)


def test_dequantization_bounds_the_bits_of_the_integrated_density():
    levels = images(300)
    found = bits_per_dimension(Exponential(), levels, samples=100, dtype=torch.float64)
    k = levels.double().mean()
    expected = float(5 * (k + 0.5) - math.log(5)) / math.log(2)
    integrated = float(5 * k - math.log(1 - math.exp(-5))) / math.log(2)
    # the u of all pixels have the variance 1/12
    assert abs(found.mean - expected) < 4 * 5 / math.log(2) / math.sqrt(12 * 300 * 20 * 100)
    assert found.mean > integrated


def test_random_numbers_follow_from_the_seed_of_each_image():
    prior, levels = Ramp(), images(10)
    every = bits_per_dimension(prior, levels, samples=3, seed=5)
    parts = bits_per_dimension(prior, levels, samples=3, seed=5, batch_size=3)
    torch.testing.assert_close(every.values, parts.values, rtol=1e-12, atol=0)
    last = bits_per_dimension(prior, levels[9:], samples=3, seed=14)
    torch.testing.assert_close(every.values[9:], last.values)
    assert math.isnan(last.standard_error)
    assert bits_per_dimension(prior, levels, seed=6).mean != bits_per_dimension(prior, levels, seed=5).mean
    assert torch.equal(bits_per_dimension(prior, levels.numpy(), samples=3, seed=5).values, every.values)


def test_colors_count_as_dimensions():
    class Colors:
        image_format = ImageFormat((3, 4, 5), value_range=(0.0, 1.0), levels=256)

        def log_prob(self, x):
            return torch.full(x.shape[:-3], -60 * math.log(256))

    assert bits_per_dimension(Colors(), images(shape=(3, 4, 5))).mean == pytest.approx(8)
    with pytest.raises(ShapeError, match=r"images \(n, C, H, W\)"):
        bits_per_dimension(Colors(), images())


def test_a_prior_says_what_its_logarithms_are():
    flat = torch.full((256,), 1 / 256)
    assert bits_per_dimension(BoundOf(flat), images()).kind == "upper bound"
    assert ig.priors.Diffusion.log_prob_kind == "estimate"

    class Estimated(Ramp):
        log_prob_kind = "estimate"

    assert bits_per_dimension(Estimated(), images()).kind == "estimate"


def test_what_has_no_code_length_is_refused():
    flat = Factorized(torch.full((256,), 1 / 256))
    with pytest.raises(DtypeError, match="uint8"):
        bits_per_dimension(flat, torch.rand(3, 4, 5))
    with pytest.raises(DtypeError, match="uint8"):
        bits_per_dimension(flat, np.zeros((3, 4, 5)))
    with pytest.raises(DtypeError, match="list"):
        bits_per_dimension(flat, [[[0]]])
    with pytest.raises(ShapeError, match="n, H, W"):
        bits_per_dimension(flat, images()[0])
    with pytest.raises(ShapeError, match=r"one of images \(n, H, W\)"):
        bits_per_dimension(flat, images(shape=(3, 4, 5)))
    with pytest.raises(CapabilityError, match="log_prob"):
        bits_per_dimension(ig.priors.TotalVariation(), images())
    gaussian = ig.priors.Gaussian(torch.zeros(4, 5), torch.ones(4, 5))
    with pytest.raises(ParameterError, match="value_range"):
        bits_per_dimension(gaussian, images())
    with pytest.raises(ParameterError, match="value_range"):
        bits_per_dimension(gaussian, images(), value_range=(1, 0))
    with pytest.raises(ParameterError, match="range"):
        bits_per_dimension(flat, images(), value_range=(0, 1))
    few = Factorized(torch.ones(4) / 4)
    few.image_format = ImageFormat((4, 5), value_range=(0.0, 1.0), levels=4)
    with pytest.raises(ParameterError, match="4 levels"):
        bits_per_dimension(few, images())
    broken = Factorized(torch.full((256,), math.nan))
    with pytest.raises(DataError, match="not a number"):
        bits_per_dimension(broken, images())
