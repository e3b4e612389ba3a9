"""Tables of whole numbers: correct by decimal arithmetic, and the same everywhere."""

import hashlib
import math
from decimal import Decimal, localcontext
from statistics import NormalDist

import numpy as np
import pytest
import torch

from invgen.plausibility.compression import tables

STEPS = 4096


def exact(function, x):
    """By 40 decimal digits, of a multiple of 1/4096."""
    with localcontext() as context:
        context.prec = 40
        return function(Decimal(x) / STEPS)


#: Each table, its function, the unit of its values, and arguments in which they lie.
FUNCTIONS = {
    "sigmoid": (lambda x: 1 / (1 + (-x).exp()), 2**16, (-12, 12)),
    "exponential": (lambda x: x.exp(), 2**16, (-12, 7)),
    "exponential_minus_one": (lambda x: x.exp() - 1, 2**16, (-12, 0)),
    "softmax_weight": (lambda x: (-x).exp(), 2**28, (0, 20)),
    "logistic_cdf": (lambda x: 1 / (1 + (-x).exp()), 2**28, (-20, 20)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_the_nearest_ones(name):
    function, unit, (low, high) = FUNCTIONS[name]
    places = [*range(low * STEPS, high * STEPS, 997), high * STEPS]
    found = getattr(tables, name)()(torch.tensor(places, dtype=torch.float64) / STEPS)
    scale = 1 if unit == 2**28 else unit
    for place, value in zip(places, found.tolist(), strict=True):
        assert abs(Decimal(value * scale) - unit * exact(function, place)) <= Decimal("0.5001")


def test_arguments_are_rounded_and_the_ends_go_on():
    table = tables.sigmoid()
    x = torch.tensor([0.3 / STEPS, 0.6 / STEPS, -1e9, 1e9], dtype=torch.float64)
    at = torch.tensor([0, 1 / STEPS, -12, 12], dtype=torch.float64)
    assert torch.equal(table(x), table(at))


def margin(values):
    """Least distance of a value from the middle of two integers."""
    values = np.array(values)
    return np.abs(values - np.floor(values) - 0.5).min()


def test_no_error_of_a_library_changes_the_gaussian():
    """Values in double precision are far enough from where the integer changes."""
    half = 2.0**27
    assert margin([half * math.erfc(i / STEPS / math.sqrt(2)) for i in range(6 * STEPS + 1)]) > 1e-6
    for count in (2**10, 2**11):
        assert margin([2**16 * NormalDist().inv_cdf(i / count) for i in range(1, count)]) > 1e-6


def test_the_gaussian_is_that_of_the_standard_library():
    x = torch.linspace(-6, 6, 25, dtype=torch.float64)
    expected = [2**28 * NormalDist().cdf(each) for each in x.tolist()]
    assert (tables.normal_cdf()(x) - torch.tensor(expected, dtype=torch.float64)).abs().max() <= 0.5001


def test_tables_are_those_by_which_files_were_written():
    """Files of the format's version 1 cannot be read by others."""
    digest = hashlib.sha256()
    for name in (*FUNCTIONS, "normal_cdf"):
        digest.update(getattr(tables, name)()._values.numpy().astype("<f8").tobytes())
    digest.update(np.array(tables.normal_quantiles(2**11), "<i8").tobytes())
    assert digest.hexdigest()[:16] == "087d6e0ed991cffe"
