"""Functions of one number as tables of whole numbers, equal on every machine.

The exponential of a library is rounded in its own way; those here follow from one another by products of
integers. Arguments are rounded to multiples of 1/4096.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "CDF_BITS",
    "WEIGHT_BITS",
    "Table",
    "exponential",
    "exponential_minus_one",
    "logistic_cdf",
    "normal_cdf",
    "normal_quantiles",
    "sigmoid",
    "softmax_weight",
]

#: Distribution functions are counted in units of 2 ** -28, weights of a softmax as well.
CDF_BITS = WEIGHT_BITS = 28

#: Arguments per unit, and digits of the exponentials that all other tables are made of.
_STEPS, _DIGITS = 2**12, 60

#: 2 ** 60 exp(-1 / 4096), rounded down.
_FACTOR = 1152640063987078655

#: Units of the values of a network, 2 ** -16; see `invgen.plausibility.compression.exact`.
_GRID = 2**16


class Table:
    """A function that is constant below its first argument and above its last.

    Parameters
    ----------
    first : int
        The first argument.
    values : list of int
        At ``first``, ``first + 1/4096``, ..., in multiples of the unit.
    unit : float
        A power of two.
    """

    def __init__(self, first: int, values: list[int], unit: float = 1.0) -> None:
        self._first, self._last = first, first + (len(values) - 1) / _STEPS
        self._values = torch.from_numpy(np.array(values, dtype=np.float64) * unit)

    def __call__(self, x: Tensor) -> Tensor:
        """The function of each number, float64."""
        place = x.clamp(self._first, self._last).sub_(self._first).mul_(_STEPS).add_(0.5).long()
        return self._values.index_select(0, place.reshape(-1)).reshape(x.shape)


@cache
def exponentials(units: int) -> list[int]:
    """``2 ** 60 exp(-i / 4096)`` for i from 0 to 4096 times the units, each from the one before."""
    found = [2**_DIGITS]
    for _ in range(units * _STEPS):
        found.append(found[-1] * _FACTOR >> _DIGITS)
    return found


def _ratio(numerator: int, denominator: int) -> int:
    """The whole number nearest to a fraction, the upper one of two."""
    return (2 * numerator + denominator) // (2 * denominator)


def _symmetric(units: int, whole: int, below: Callable[[int], int]) -> list[int]:
    """A distribution function of a symmetric density, which is ``below(i)`` at -i / 4096, of the whole."""
    half = [below(i) for i in range(units * _STEPS + 1)]
    return [*half[::-1], *(whole - value for value in half[1:])]


def _logistic(units: int, whole: int) -> list[int]:
    e = exponentials(units)
    return _symmetric(units, whole, lambda i: _ratio(whole * e[i], e[0] + e[i]))


@cache
def sigmoid() -> Table:
    """``1 / (1 + exp(-x))`` in multiples of 2 ** -16."""
    return Table(-12, _logistic(12, _GRID), 1 / _GRID)


@cache
def exponential() -> Table:
    """``exp(x)`` in multiples of 2 ** -16, for x of at most 7."""
    e = exponentials(19)
    return Table(-12, [_ratio(_GRID * each, e[7 * _STEPS]) for each in reversed(e)], 1 / _GRID)


@cache
def exponential_minus_one() -> Table:
    """``exp(x) - 1`` for x of at most zero, in multiples of 2 ** -16."""
    return Table(-12, [_ratio(_GRID * e, 2**_DIGITS) - _GRID for e in reversed(exponentials(12))], 1 / _GRID)


@cache
def softmax_weight() -> Table:
    """``exp(-x)`` for x of at least zero, in units of 2 ** -28."""
    return Table(0, [_ratio(e, 2 ** (_DIGITS - WEIGHT_BITS)) for e in exponentials(20)])


@cache
def logistic_cdf() -> Table:
    """``1 / (1 + exp(-x))`` in units of 2 ** -28."""
    return Table(-20, _logistic(20, 2**CDF_BITS))


@cache
def normal_cdf() -> Table:
    """The distribution function of the standard Gaussian in units of 2 ** -28.

    No value before rounding is so close to the middle of two integers that an error of `math.erfc` in its
    last digits could change the integer.
    """
    half = 2 ** (CDF_BITS - 1)
    below = [math.floor(half * math.erfc(i / _STEPS / math.sqrt(2)) + 0.5) for i in range(6 * _STEPS + 1)]
    return Table(-6, _symmetric(6, 2**CDF_BITS, below.__getitem__))


@cache
def normal_quantiles(count: int) -> list[int]:
    """Quantiles of the standard Gaussian at ``i / count``, i from 1 to ``count - 1``, in units of 2 ** -16.

    Of them the same is true.
    """
    return [math.floor(_GRID * NormalDist().inv_cdf(i / count) + 0.5) for i in range(1, count)]
