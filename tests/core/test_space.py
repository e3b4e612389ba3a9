"""Spaces check what they are given: sizes, values, batches."""

import math
import re

import numpy as np
import pytest
import torch

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, ShapeError
from invgen.core.fingerprint import fingerprint
from invgen.core.space import ProductSpace, Space, as_shape, broadcasts, check_finite, map_parts


def test_nan_is_named_by_what_the_axes_count():
    x = torch.zeros(180, 256)
    x[17, 100:121], x[20, 3] = math.nan, math.inf
    found = "22 NaN or infinite values of 46080, in 2 of 180 views (17, 20), the first at index (17, 100): "
    with pytest.raises(DataError, match=re.escape(f"Radon got {found}view 17, columns 100 to 120. Mask")):
        Space((180, 256), names=("view", "column")).check(x, "Radon")
    batch = torch.zeros(2, 8, 4, 4, dtype=torch.complex64)
    batch[1, 3, 2, 0] = complex(0, math.nan)
    with pytest.raises(DataError, match=re.escape("(1, 3, 2, 0): coil 3, ky 2, kx 0. Mask")):
        Space((8, 4, 4), "complex", ("coil", "ky", "kx")).check(batch, "MRI")


def test_views_keep_the_numbers_that_they_are_known_by():
    x = torch.zeros(3, 5)
    x[1:] = math.nan
    found = nonfinite(x, ("view", "column"), torch.tensor([4, 8, 9]))
    assert found is not None
    assert found.endswith("in 2 of 3 views (8, 9), the first at view 8, columns 0 to 4")
    assert nonfinite(x[:1], ("view", "column")) is None


def test_names_are_no_part_of_what_a_space_is():
    named, plain = Space((3, 4), names=("view", "column")), Space((3, 4))
    assert named == plain
    assert hash(named) == hash(plain)
    assert fingerprint(named) == fingerprint(plain)


def test_nan_and_infinity_are_reported_with_their_number_and_first_place():
    x = torch.zeros(2, 12, 6)
    x[0, 4, 5], x[1, 0, 0], x[1, 11, 5] = math.nan, math.inf, -math.inf
    with pytest.raises(DataError, match=r"Radon got 3 NaN or infinite values of 144, .* \(0, 4, 5\)\. Mask"):
        Space((12, 6)).check(x, "Radon")
    with pytest.raises(DataError, match=r"1 NaN or infinite value of 1, the first at index \(\)"):
        check_finite(torch.tensor(math.nan), "a number")


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_sums_that_overflow_are_not_taken_for_infinite_values(dtype):
    check_finite(torch.full((4,), 2e38, dtype=dtype), "large numbers")


def test_nan_is_found_within_the_transforms_of_torch_func():
    x = torch.zeros(3, 4)
    x[2, 1] = math.nan

    def f(x):
        check_finite(x, "f")
        return x.sum()

    vmap, grad = torch.func.vmap, torch.func.grad
    for transformed in (vmap(f), vmap(f, in_dims=1), vmap(grad(f))):
        with pytest.raises(DataError, match=r"1 NaN or infinite value of 12, the first at index \(2, 1\)"):
            transformed(x)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3"])
def test_sizes_are_positive_whole_numbers(size):
    with pytest.raises(ShapeError, match="positive sizes, which are whole numbers"):
        Space((4, size))


def test_sizes_of_numpy_become_those_of_python():
    shape = Space((np.int64(4), np.uint8(3))).shape
    assert shape == (4, 3)
    assert all(type(n) is int for n in shape)
    assert as_shape([5], "x") == (5,)


def test_one_rule_of_broadcasting():
    assert broadcasts((), (3, 4))
    assert broadcasts((4,), (3, 4))
    assert broadcasts((3, 1), (3, 4))
    assert not broadcasts((3,), (3, 4))
    assert not broadcasts((1, 3, 4), (3, 4))
    assert not broadcasts((4,), (1,))


def test_zeros_and_parts_of_tuples():
    both = ProductSpace([Space((2,)), Space((3,), "complex")])
    x = both.zeros((4,), torch.ones(1, dtype=torch.complex128))
    assert [(p.shape, p.dtype) for p in x] == [((4, 2), torch.float64), ((4, 3), torch.complex128)]
    noise = both.random(seed=0, dtype=torch.float64)
    same = map_parts(lambda p, q: p + 2 * q, noise, both.zeros((), x[0]))
    assert all(torch.equal(p, q) for p, q in zip(same, noise, strict=True))
    assert torch.equal(map_parts(torch.neg, x[0]), -x[0])
