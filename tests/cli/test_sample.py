"""`sample`: pictures of what a prior draws."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.nets.positions import CHANNELS


@pytest.fixture
def prior(tmp_path):
    """Write a prior of given facts, and say where."""

    def write(channels=1, extra=0, classes=0, **facts):
        torch.manual_seed(0)
        network = UNet(channels + extra, channels, widths=(8,), blocks=1, classes=classes)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
        path = tmp_path / "prior.safetensors"
        facts = {"image_shape": (6, 8), "sigma_data": 0.5, "classes": classes, **facts}
        ig.priors.Diffusion(EDM(network, 0.5), **facts).save(path)
        return path

    return write


def tiles(path, shape, zoom=8, gap=2):
    """Images of a picture of four, without the lines between them."""
    pixels = np.asarray(Image.open(path))[gap:, gap:]
    height, width = (zoom * n + gap for n in shape)
    found = [
        pixels[i * height : (i + 1) * height, j * width : (j + 1) * width] for i in (0, 1) for j in (0, 1)
    ]
    return [tile[:-gap:zoom, :-gap:zoom] for tile in found]


def test_pictures_are_the_samples(invgen, prior, tmp_path):
    path, picture = prior(), tmp_path / "grid.png"
    result = invgen("sample", path, "-o", picture, "-n", 4, "--seed", 3, "--steps", 4)
    assert result.exit_code == 0, result.output
    samples = ig.priors.load(path).sample(4, seed=3, steps=4)
    for tile, image in zip(tiles(picture, (6, 8)), samples, strict=True):
        # drawn in parts, they may differ by rounding
        assert np.abs(tile - (255 * image.clamp(0, 1)).numpy()).max() <= 1


def test_complex_samples_show_their_magnitude(invgen, prior, tmp_path):
    path, picture = prior(channels=2, field="complex"), tmp_path / "grid.png"
    assert invgen("sample", path, "-o", picture, "-n", 4, "--steps", 4).exit_code == 0
    samples = ig.priors.load(path).sample(4, seed=0, steps=4).abs()
    for tile, image in zip(tiles(picture, (6, 8)), samples, strict=True):
        assert np.abs(tile - (255 * image.clamp(0, 1)).numpy()).max() <= 1


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("--class", 1), {"classes": 3}),
        (("--size", "6x8"), {"image_shape": None}),
        (("--size", "6x8"), {"image_shape": None, "extra": CHANNELS, "positioned": True}),
        (("--size", "6X8"), {"image_shape": (3, 6, 8), "channels": 3}),
        (("--method", "ancestral"), {}),
        (("--method", "predictor-corrector"), {}),
    ],
)
def test_choices(words, facts, invgen, prior, tmp_path):
    result = invgen("sample", prior(**facts), "-o", tmp_path / "grid.png", "-n", 4, "--steps", 3, *words)
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "grid.png").size == (2 + 2 * (64 + 2), 2 + 2 * (48 + 2))


def test_what_cannot_be_drawn(refused, invgen, prior, tmp_path):
    picture = tmp_path / "grid.png"
    assert "neither a file" in refused("sample", "nothing", "-o", picture)
    assert "draws no images" in refused("sample", "patches-gray", "-o", picture)
    path = prior()
    assert "no classes" in refused("sample", path, "-o", picture, "--class", 1)
    assert "6x8 pixels" in refused("sample", path, "-o", picture, "--size", "8x8")
    assert invgen("sample", path, "-o", picture, "--size", "8").exit_code == 2
    assert "what the command reads" in refused("sample", path, "-o", path)
    assert "0 to 2" in refused("sample", prior(classes=3), "-o", picture, "--class", 3)
    path = prior(image_shape=None)
    assert "--size" in refused("sample", path, "-o", picture)
    assert not picture.exists()


def test_priors_that_come_along_have_cards(invgen, refused):
    reported = invgen("info", "patches-gray").output
    assert "patches" in reported
    assert "astronaut" in reported
    assert "neither" in refused("info", "nothing.safetensors")
