"""The adaptive combination against the maps that made the images, and against its definition."""

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import Fourier
from invgen.operators.mri.coils import adaptive


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def test_maps_that_do_not_vary_are_found_exactly():
    weights = normal(4, 1, 1)
    maps = adaptive(weights * normal(15, 12, seed=1))
    expected = (weights / weights.norm()).expand(4, 15, 12)
    # the virtual coil that sees most is then the weights themselves: its phase is that of its largest entry
    turn = weights.flatten()[weights.abs().argmax()].conj().sgn()
    torch.testing.assert_close(maps, turn * expected)


@pytest.mark.parametrize("shape", [(48, 40), (33, 37)])
def test_the_maps_are_close_to_those_that_made_the_images(scan, angle, shape):
    y, truth, inside = scan(shape, std=0.01)
    maps = adaptive(Fourier(shape).H(y), width=1.5)
    # the true maps turn by up to 0.06 from pixel to pixel: the neighborhood mixes them by less than its width
    assert float(angle(maps, truth)[inside].max()) < 0.06 * 1.5
    torch.testing.assert_close(maps.norm(dim=0), torch.ones(shape, dtype=torch.float64))


def test_maps_go_on_smoothly_where_the_object_is_dark(scan, angle):
    y, truth, _ = scan(std=0.0)
    images = Fourier((48, 40)).H(y)
    row, column = torch.meshgrid(torch.arange(48) - 24, torch.arange(40) - 20, indexing="ij")
    dark = row**2 + column**2 < 5**2
    images = torch.where(dark, 0, images) + 0.01 * normal(*images.shape)
    maps = adaptive(images)
    # random vectors of five coils are at a sine of 0.9 to the truth; smoothed ones stay near it
    assert float(angle(maps, truth)[dark].max()) < 0.3


def test_it_is_the_definition():
    images, width = normal(3, 6, 7), 2.0
    maps = adaptive(images, width=width).numpy()
    for r, c in ((0, 0), (3, 2), (5, 6)):
        weight = np.ones((6, 7))
        for axis, (n, at) in enumerate(((6, r), (7, c))):
            along = (1 + ((np.arange(n) - at) / width) ** 2) ** -2.0
            weight *= along[:, None] if axis == 0 else along
        samples = images.numpy().reshape(3, -1)
        matrix = (samples * weight.ravel()) @ samples.conj().T
        vector = maps[:, r, c]
        value = np.linalg.eigvalsh(matrix)[-1]
        np.testing.assert_allclose(matrix @ vector, value * vector, atol=1e-10)


def test_a_volume_has_maps(scan, angle):
    y, truth, inside = scan((12, 14, 13))
    maps = adaptive(Fourier((12, 14, 13)).H(y), width=1.0)
    assert float(angle(maps, truth)[inside].max()) < 0.3  # pixels are four times as wide as above


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e6])
def test_the_scale_of_the_images_does_not_matter(scan, factor):
    images = Fourier((48, 40)).H(scan(std=0.01)[0]).to(torch.complex64)
    torch.testing.assert_close(adaptive(factor * images), adaptive(images), rtol=1e-3, atol=1e-3)


def test_a_single_coil_has_a_map_of_ones():
    torch.testing.assert_close(adaptive(normal(1, 5, 6)), torch.ones(1, 5, 6, dtype=torch.complex128))


def test_what_is_no_set_of_coil_images_is_refused():
    images = normal(3, 6, 5)
    for wrong in (images[0], images.expand(2, 2, *images.shape)):
        with pytest.raises(ShapeError, match="coils, H, W"):
            adaptive(wrong)
    with pytest.raises(DtypeError, match="complex"):
        adaptive(images.abs())
    with pytest.raises(DataError, match="zeros"):
        adaptive(0 * images)
    with pytest.raises(DataError, match="NaN"):
        adaptive(images / 0)
    for width in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="width"):
            adaptive(images, width=width)
