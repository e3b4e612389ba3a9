"""What images a prior is made for: facts that fit each other, the way to a network and back, and files."""

import json

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.priors import ImageFormat, format_of

from ..contracts.numbers import normal


@pytest.mark.parametrize(
    ("given", "axes"),
    [
        ({}, 0),
        ({"axes": 2}, 2),
        ({"channels": 3}, 3),
        ({"shape": (5,)}, 1),
        ({"shape": (4, 5)}, 2),
        ({"shape": (3, 4, 5)}, 3),
        ({"shape": (3, 4, 5), "channels": 3, "axes": 3}, 3),
    ],
)
def test_the_number_of_axes_follows_from_shape_and_channels(given, axes):
    assert ImageFormat(**given).axes == axes


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"shape": (4, 5), "axes": 3}, ShapeError),
        ({"shape": (4, 5), "channels": 4}, ShapeError),
        ({"shape": (3, 4, 5), "channels": 4}, ShapeError),
        ({"channels": 3, "axes": 2}, ShapeError),
        ({"shape": (4, 0)}, ParameterError),
        ({"shape": (4, 5.0)}, ParameterError),
        ({"channels": True}, ParameterError),
        ({"axes": -1}, ParameterError),
        ({"field": "quaternion"}, ParameterError),
        ({"value_range": (1.0, 1.0)}, ParameterError),
        ({"value_range": (-2.0, -1.0)}, ParameterError),
        ({"value_range": (0.0, float("inf"))}, ParameterError),
        ({"value_range": 1.0}, ParameterError),
        ({"noise_range": (0.2, 0.1)}, ParameterError),
        ({"noise_range": (-1.0, 0.1)}, ParameterError),
        ({"std": 0.0}, ParameterError),
        ({"std": float("nan")}, ParameterError),
    ],
)
def test_facts_that_contradict_each_other_are_refused(given, error):
    with pytest.raises(error):
        ImageFormat(**given)


def test_numbers_of_numpy_become_those_of_python():
    images = ImageFormat(np.array([3, 4, 5]), np.int64(3), value_range=np.array([0, 1]), std=np.float32(0.5))
    assert (images.shape, images.channels, images.value_range) == ((3, 4, 5), 3, (0.0, 1.0))
    assert all(type(n) is int for n in (*images.shape, images.channels, images.axes))
    json.dumps(images.header())


FORMATS = {
    "gray": (ImageFormat(field="real", value_range=(0.0, 255.0), axes=2), (4, 5), torch.float32),
    "color": (ImageFormat(channels=3, field="real", value_range=(-1.0, 3.0)), (3, 4, 5), torch.float32),
    "complex": (ImageFormat((4, 5), field="complex", value_range=(0.0, 2.0)), (4, 5), torch.complex64),
    "coils": (ImageFormat(channels=2, field="complex", value_range=(0.0, 2.0)), (2, 4, 5), torch.complex64),
    "no range": (ImageFormat(axes=2), (4, 5), torch.float64),
}


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("name", FORMATS)
def test_images_come_back_from_a_network_as_they_went(name, batch):
    images, shape, dtype = FORMATS[name]
    x = 3 * normal(*batch, *shape, dtype=dtype)
    seen = images.to_network(x)
    assert seen.shape == (torch.Size(batch).numel(), images.network_channels, 4, 5)
    assert seen.dtype == dtype.to_real()
    torch.testing.assert_close(images.from_network(seen, x), x)
    assert torch.equal(images.as_images(images.as_channels(x), x), x)


def test_a_network_sees_the_value_range_as_minus_one_to_one():
    ends = torch.tensor([[-1.0, 1.0, 3.0]])
    assert ImageFormat(value_range=(-1.0, 3.0), axes=2).to_network(ends).flatten().tolist() == [-1, 0, 1]
    # of complex images the modulus has the range: zero stays zero, whatever the phase
    turned = torch.tensor([[0.0, 2.0, -2.0j]])
    seen = ImageFormat(field="complex", value_range=(0.0, 2.0), axes=2).to_network(turned)
    assert seen[0, :, 0].tolist() == [[0, 1, 0], [0, 0, -1]]


def test_real_parts_come_before_imaginary_ones():
    x = normal(2, 4, 5, dtype=torch.complex64)
    seen = ImageFormat(channels=2, field="complex").as_channels(x)
    assert torch.equal(seen[0], torch.cat([x.real, x.imag]))


@pytest.mark.parametrize("name", FORMATS)
def test_a_header_states_the_format(name):
    images = FORMATS[name][0]
    assert ImageFormat.from_header(json.loads(json.dumps(images.header()))) == images
    more = ImageFormat((4, 5), field="real", noise_range=(0.1, 2.0), std=0.3)
    assert ImageFormat.from_header(json.loads(json.dumps(more.header()))) == more


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((3, 4, 5)), DtypeError, "Toy expects a torch.Tensor; got ndarray"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), DtypeError, "Toy expects float32"),
        (torch.zeros(3, 4, 5, dtype=torch.complex64), DtypeError, "Toy expects real images"),
        (torch.zeros(4, 5), ShapeError, "Toy expects images with 3 axes"),
        (torch.zeros(2, 4, 5), ShapeError, r"Toy expects images \(3, H, W\)"),
        (torch.full((3, 4, 5), torch.nan), DataError, "Toy got 60 NaN"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_the_name_of_who_asks(x, error, message):
    with pytest.raises(error, match=message):
        ImageFormat(channels=3, field="real").check(x, "Toy")


def test_one_shape_is_the_only_one():
    images = ImageFormat((4, 5))
    images.check(torch.zeros(2, 3, 4, 5), "Toy")
    assert images.batch_shape(torch.zeros(2, 3, 4, 5)) == (2, 3)
    with pytest.raises(ShapeError, match=r"Toy expects images of the shape \(4, 5\); got \(5, 4\)"):
        images.check(torch.zeros(2, 5, 4), "Toy")


def test_any_object_has_a_format():
    class Own:
        image_format = ImageFormat(value_range=(0.0, 2.0))

    class Wrong:
        image_format = {"value_range": (0.0, 2.0)}  # noqa: RUF012

    assert format_of(object()) == ImageFormat()
    assert format_of(Own()).value_range == (0.0, 2.0)
    with pytest.raises(DtypeError, match="Wrong has a dict"):
        format_of(Wrong())


def test_a_prior_reports_the_unit_of_its_images():
    network = torch.nn.Identity()
    found = ig.priors.Diffusion(
        network, channels=3, value_range=(-1.0, 3.0), sigma_data=0.25, sigma_range=(0.1, 20.0)
    )
    assert found.image_format == ImageFormat(
        channels=3, field="real", value_range=(-1.0, 3.0), noise_range=(0.2, 40.0), std=0.5
    )
    blind = ig.priors.NetworkDenoiser(network, (0, 0.2), noise="none", value_range=(0, 255))
    assert blind.image_format == ImageFormat(value_range=(0.0, 255.0), noise_range=(2e-4, 0.2), axes=2)
    assert ig.priors.load("patches-gray").image_format == ImageFormat(value_range=(0.0, 1.0), axes=2)
    assert ig.priors.NonLocalMeans(channels=True).image_format == ImageFormat(axes=3)
    assert ig.priors.TotalVariation().image_format == ImageFormat()
