"""Networks in exact arithmetic: that of whole numbers is the oracle; threads and batches change no bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from invgen import priors
from invgen.core.errors import CapabilityError
from invgen.plausibility.compression.exact import BITS, Exact, exact_copy
from invgen.priors.autoregressive.sampling import Reader

UNIT = 2**BITS


def whole(x):
    """Values in units of 2 ** -16, as Python's integers; they must be whole."""
    scaled = x.double() * UNIT
    assert torch.equal(scaled, scaled.round())
    return scaled.long().numpy().astype(object)


def nearest(numerators):
    """Products of two units to one, halves to the even one, as IEEE 754 rounds."""
    return np.vectorize(lambda n: round(Fraction(n, UNIT)))(numerators)


def values(*shape, largest, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=draw, dtype=torch.float64) * 2 - 1).mul(largest * UNIT).round() / UNIT


@pytest.mark.parametrize("largest", [1, 2**10, 2**14])  # of these the last is beyond what is multiplied
def test_linear_maps_are_those_of_integers(largest):
    layer = nn.Linear(300, 5)
    nn.init.uniform_(layer.weight, -12, 12)  # sums of magnitudes close to 2 ** 11
    layer, x = exact_copy(layer), values(4, 300, largest=largest)
    with Exact():
        found = layer(x)
    limited = whole(x.clamp(-(2**10), 2**10))
    expected = nearest(limited @ whole(layer.weight).T + UNIT * whole(layer.bias))
    assert (whole(found) == expected).all()


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_convolutions_are_those_of_integers(kind):
    layer = exact_copy(kind(3, 4, (2, 3), stride=(1, 2), padding=(1, 0)))
    x = values(2, 3, 5, 7, largest=2**10)
    with Exact():
        found = layer(x)
    found = whole(found)
    weight, seen = whole(layer.weight), whole(x)
    expected = np.zeros(found.shape, dtype=object)
    expected += UNIT * whole(layer.bias)[:, None, None]
    for n, i, j, a, b in np.ndindex(2, 5, 7, 2, 3):
        for row, column in np.ndindex(found.shape[-2:]):
            if kind is nn.Conv2d and (row + a - 1, 2 * column + b) == (i, j):
                expected[n, :, row, column] += weight[:, :, a, b] @ seen[n, :, i, j]
            if kind is nn.ConvTranspose2d and (row, column) == (i + a - 1, 2 * j + b):
                expected[n, :, row, column] += weight[:, :, a, b].T @ seen[n, :, i, j]
    assert (found == nearest(expected)).all()


def test_normalization_is_that_of_integers():
    x = torch.cat([values(3, 7, largest=size, seed=1) for size in (1e-4, 0.1, 3, 2**10, 2**12)])
    x = torch.cat([x, torch.zeros(1, 7, dtype=torch.float64)])
    with Exact():
        found = F.layer_norm(x, (7,))
    for row, normalized in zip(whole(x.clamp(-(2**10), 2**10)), whole(found), strict=True):
        distance = row - round(Fraction(int(row.sum()), 7))
        root = math.isqrt(((distance**2).sum() // 7 + round(1e-5 * UNIT**2)) << 10)
        exact = [Fraction(int(d) * 32 * UNIT, root) for d in distance]
        # a quotient is rounded twice, to float64 and to the unit
        assert all(
            abs(a - b) <= Fraction(1, 2) + Fraction(1, 10**6) for a, b in zip(normalized, exact, strict=True)
        )


@pytest.mark.parametrize(
    ("exact", "function"),
    [
        (torch.sigmoid, torch.sigmoid),
        (torch.tanh, torch.tanh),
        (F.silu, F.silu),
        (F.elu, F.elu),
        (lambda x: F.layer_norm(x, x.shape[-1:]), lambda x: F.layer_norm(x, x.shape[-1:])),
    ],
)
def test_functions_are_close_to_those_of_pytorch(exact, function):
    x = values(40, 50, largest=15)
    with Exact():
        found = exact(x)
    whole(found)
    # arguments are rounded to 1/4096
    assert (found - function(x)).abs().max() < 15 / 8192 * 1.1


@pytest.fixture(scope="module")
def network():
    """That of the digits, and a few images as it sees them."""
    prior = priors.load("digits-autoregressive")
    images = torch.randint(0, 256, (5, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    images[0], images[1] = 0, 255
    return prior._networks()["network"].double(), (2 * images - 255).double() / 256


def test_a_network_is_close_to_that_of_real_numbers(network):
    original, x = network
    exact = exact_copy(original)
    with Exact():
        found = exact(x[:2])
    with torch.no_grad():
        expected = original(x[:2])
    whole(found)
    assert (found - expected).abs().max() < 0.05
    assert (found - expected).abs().mean() < 0.002


def test_no_bit_depends_on_batches(network):
    original, x = network
    exact = exact_copy(original)
    with Exact():
        one, all_together = torch.cat([exact(image) for image in x.split(1)]), exact(x)
    assert torch.equal(one, all_together)


def test_no_bit_depends_on_threads(network, set_threads):
    layer, found = exact_copy(network[0]).layers[0], []
    x = values(4, 64, 28, 28, largest=2**10)
    for threads in (1, 2):
        set_threads(threads)
        with Exact():
            found.append(torch.cat(layer(x, x)))
    assert torch.equal(*found)


def test_in_real_numbers_bits_do_depend_on_batches(network):
    """What the exact arithmetic is for: were this otherwise, the tests beside would say nothing."""
    original, x = network
    with torch.no_grad():
        whole_image, reader = original(x), Reader(original, torch.zeros_like(x))
        reader.begin(0)
        assert not torch.equal(reader.outputs(0, 0)[..., 0, 0], whole_image[..., 0, 0])


def test_pixel_by_pixel_is_as_whole_images(network):
    original, x = network
    exact, height = exact_copy(original), 4
    with Exact():
        outputs = exact(x)
        reader = Reader(exact, torch.zeros_like(x))
    for i in range(height):
        with Exact():
            reader.begin(i)
        for j in range(x.shape[-1]):
            with Exact():
                found = reader.outputs(i, j)
            assert torch.equal(found[..., 0, 0], outputs[..., i, j])
            reader.x[..., i, j] = x[..., i, j]


def test_numbers_in_code_are_rounded_as_well():
    x = values(3, 4, largest=2)
    with Exact():
        found = [x + 0.1, x - 0.1, x * 0.1, x.sum(0)]
    for each, expected in zip(found, [x + 0.1, x - 0.1, x * 0.1, x.sum(0)], strict=True):
        whole(each)
        assert (each - expected).abs().max() <= 2**-17


def test_what_has_no_exact_form_is_refused():
    x = torch.zeros(1)
    for function, named in (
        (torch.exp, "exp"),
        (lambda x: torch.div(x, 3), "div"),
        (lambda x: F.elu(x, 2.0), "alpha=2"),
        (lambda x: torch.add(x, x, alpha=0.3), r"alpha=0\.3"),
        (lambda x: F.pad(x, (1, 1), value=0.1), r"value=0\.1"),
    ):
        with Exact(), pytest.raises(CapabilityError, match=named):
            function(x)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d])
def test_weights_without_exact_sums_are_refused(kind):
    """Where the magnitudes of the weights of one output add up to 2 ** 11 and more."""
    layer = exact_copy(kind(2, 2, *[] if kind is nn.Linear else [1]))
    outputs = layer.weight.transpose(0, 1) if kind is nn.ConvTranspose2d else layer.weight
    x = torch.zeros(1, 2, *[] if kind is nn.Linear else (3, 3), dtype=torch.float64)
    layer.weight.zero_()
    layer.bias.zero_()
    outputs[1] = 1024.0
    with Exact():
        layer(x)
    layer.bias[1] = 1.0
    with Exact(), pytest.raises(CapabilityError, match="exact sum"):
        layer(x)
    layer.weight.fill_(math.nan)
    with pytest.raises(CapabilityError, match="not finite"):
        exact_copy(layer)
