"""Priors of digits come with what a test of anomalies needs: whom they have learned from, and calibration."""

import math

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.plausibility import AnomalyDetector
from invgen.priors.files import checkpoints
from invgen.priors.sketch import TrainingData

DIGITS = ("digits", "digits-autoregressive", "digits-flow", "digits-gan", "digits-vae")


def read(path, count):
    return torch.from_numpy(np.stack(ig.io.read_images(path)[:count]))


@pytest.mark.parametrize("name", DIGITS)
def test_training_digits_are_known_and_test_digits_not(name, measured_file):
    learned = read(measured_file("digits/mnist-train-3-images-idx3-ubyte.gz"), 2000)
    others = read(measured_file("digits/mnist8k-images-idx3-ubyte.gz"), 2000)
    prior = ig.priors.load(name)
    sketch = TrainingData.from_header(prior.card["training_data"])
    assert sketch.count == 60_000
    found, tested = sketch.overlap(learned, prior.image_format)
    assert found == tested
    expected = 2000 * 2048 / 60_000
    assert abs(tested - expected) < 4 * math.sqrt(expected)
    assert sketch.overlap(others, prior.image_format).found == 0
    with pytest.raises(ig.errors.DataError, match="held out"):
        AnomalyDetector(prior, learned)


@pytest.mark.parametrize("name", DIGITS)
def test_headers_stay_small(name):
    with checkpoints.located(name) as path, path.open("rb") as file:
        assert int.from_bytes(file.read(8), "little") < 100_000


def test_the_shipped_calibration_is_that_of_held_out_digits(measured_file):
    detector = AnomalyDetector(ig.priors.load("digits-flow"))
    digits = torch.from_numpy(
        np.stack(ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz")))
    )
    held_out = digits[torch.arange(8000) % 80 == 1]
    p = detector.p_value(held_out)
    # of 100 digits by 666 statistics: four standard deviations
    for level in (0.1, 0.5):
        assert abs(float((p <= level).double().mean()) - level) < 4 * math.sqrt(level * (1 - level) / 100)
    noise = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
    strange = torch.cat([1 - held_out[:4], torch.zeros(1, 28, 28), noise])
    assert bool(detector.detect(strange, 0.05).all())


def test_every_prior_is_tested_by_its_file_alone():
    """By the statistic that suits what it can do."""
    names = {name: AnomalyDetector(ig.priors.load(name)).kind.name for name in DIGITS}
    assert names.pop("digits-gan") == "reconstruction-error"
    assert names.pop("digits") == "density-of-states"
    assert set(names.values()) == {"symmetry-and-states"}
    diffusion = AnomalyDetector(ig.priors.load("digits"), statistic="density-of-states")
    assert [each.name for each in diffusion.kind.statistics] == ["score-norms", "symmetry-ratio"]
