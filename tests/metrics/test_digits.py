"""The features of digits that come with the package."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, FileError, ShapeError
from invgen.metrics import DigitFeatures, digit_features, frechet_distance
from invgen.priors.files import checkpoints

ROOT = Path(__file__).parents[2]
WEIGHTS = files("invgen.metrics") / "weights"


def digits(find, count):
    """Test digits, and their classes."""
    images = ig.io.read_images(find("digits/mnist8k-images-idx3-ubyte.gz"))[:count]
    labels = ig.io.read_labels(find("digits/mnist8k-labels-idx1-ubyte.gz"))[:count]
    return torch.stack([torch.from_numpy(x) for x in images]), torch.from_numpy(labels)


def test_it_tells_test_digits_apart(measured_file):
    images, labels = digits(measured_file, 1000)
    features = digit_features()
    assert (features.classify(images).argmax(1) == labels).double().mean() >= 0.985
    assert features(images).shape == (1000, 64)


def test_disturbed_digits_are_farther_from_real_ones(measured_file):
    images, _ = digits(measured_file, 1000)
    features = digit_features()
    ordinary = frechet_distance(images[:500], images[500:], features)
    noise = torch.randn(images[500:].shape, generator=torch.Generator().manual_seed(0))
    for disturbed in (images[500:] + 0.3 * noise, images[500:].transpose(1, 2), images[500:].mean(0, True)):
        other = disturbed.expand(500, 28, 28)
        assert frechet_distance(images[:500], other, features) > 3 * ordinary


def test_images_come_in_several_forms():
    features = digit_features()
    levels = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    expected = features(levels)
    torch.testing.assert_close(features(levels.double()[:, None] / 255), expected, rtol=1e-4, atol=1e-4)
    outside = levels / 255 + torch.where(levels == 255, 0.5, 0.0)
    torch.testing.assert_close(features(outside), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.classify(levels).exp().sum(1), torch.ones(3))


def test_what_are_no_digits_is_refused(tmp_path):
    features = digit_features()
    with pytest.raises(ShapeError, match="28, 28"):
        features(torch.zeros(28, 28))
    with pytest.raises(DtypeError, match="real"):
        features(torch.zeros(2, 28, 28, dtype=torch.complex64))
    with pytest.raises(DataError, match="NaN"):
        features(torch.full((2, 28, 28), torch.nan))
    checkpoints.write(tmp_path / "other", "diffusion", {"x": torch.zeros(1)}, {})
    with pytest.raises(FileError, match="diffusion"):
        DigitFeatures.load(tmp_path / "other")
    checkpoints.write(tmp_path / "damaged", "digit-features", {"x": torch.zeros(1)}, {})
    with pytest.raises(FileError, match="network"):
        DigitFeatures.load(tmp_path / "damaged")


def test_it_is_small_described_and_no_prior():
    path, card = WEIGHTS / "digit-features.safetensors", (WEIGHTS / "digit-features.md").read_text()
    assert len(path.read_bytes()) < 300_000
    assert "digit-features" not in checkpoints.shipped()
    assert card.startswith("# digit-features\n")
    for word in (
        "CC BY-SA",
        "seed",
        "time, machine",
        "examples/training/digit_features.py",
        "Where it fails",
    ):
        assert word in card


def test_a_file_holds_the_features(tmp_path):
    features = DigitFeatures(DigitFeatures.untrained(seed=3))
    features.save(tmp_path / "features.safetensors", data="none")
    again = DigitFeatures.load(tmp_path / "features.safetensors")
    images = torch.rand(2, 28, 28)
    torch.testing.assert_close(again(images), features(images), rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_the_script_trains_it(tmp_path, measured_file):
    paths = [str(measured_file(f"digits/mnist8k-{k}-ubyte.gz")) for k in ("images-idx3", "labels-idx1")]
    command = [sys.executable, str(ROOT / "examples" / "training" / "digit_features.py")]
    command += ["--images", paths[0], "--labels", paths[1], "--test", *paths, "--epochs", "1"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=one_thread, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert checkpoints.read(tmp_path / "digit-features.safetensors")[0]["training"]["epochs"] == 1
