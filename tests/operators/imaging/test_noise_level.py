"""The noise level of an image: exact where it is white noise, blind to what is smooth along an axis."""

import pytest
import torch

from invgen.operators.imaging.noise_level import white_noise_level


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(200, 150), (3, 120, 100)])
def test_white_noise_has_its_own_level(shape):
    assert float(white_noise_level(0.3 * noise(*shape))) == pytest.approx(0.3, rel=0.03)


def test_planes_and_edges_along_the_axes_are_no_noise():
    y, x = torch.meshgrid(torch.arange(100.0), torch.arange(80.0), indexing="ij")
    scene = 2.0 * (y > 40) + 0.5 * (x > 30) + 0.25 * x - 0.5 * y  # numbers without rounding
    assert white_noise_level(scene) is None
    noisy = scene + 0.1 * noise(100, 80)
    assert float(white_noise_level(noisy)) == pytest.approx(0.1, rel=0.05)


def test_fine_texture_only_raises_it():
    checks = (torch.arange(100)[:, None] + torch.arange(100)) % 2
    assert float(white_noise_level(checks + 0.1 * noise(100, 100))) > 0.1


def test_pixels_that_are_not_known_tell_nothing():
    image = 0.2 * noise(150, 150)
    known = noise(150, 150, seed=1) > -0.5
    spoiled = torch.where(known, image, 100.0)
    assert float(white_noise_level(spoiled, known)) == pytest.approx(0.2, rel=0.05)
    colors = spoiled.expand(3, 150, 150)
    assert float(white_noise_level(colors, known)) == pytest.approx(0.2, rel=0.05)


def test_too_little_to_tell():
    assert white_noise_level(noise(8, 8)) is None
    assert white_noise_level(noise(1, 500)) is None
    image = noise(50, 50)
    alone = (torch.arange(50)[:, None] % 2 == 0) & (torch.arange(50) % 2 == 0)
    assert white_noise_level(image, alone) is None
