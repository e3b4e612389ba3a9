"""The search for a knob."""

import math

import pytest

from invgen.bench.search import search
from invgen.bench.suite import Knob


def found(badness, knob, trials):
    tried, searching = [], search(knob, trials, 3)
    values = next(searching)
    while True:
        tried += values
        try:
            values = searching.send([badness(value) for value in values])
        except StopIteration as end:
            return end.value, tried


@pytest.mark.parametrize("best", [0.11, 1.0, 3.7, 9.0])
def test_the_minimum_is_found_in_its_logarithm(best):
    value, tried = found(lambda v: abs(math.log(v / best)), Knob("weight", 0.1, 10.0), 7)
    assert abs(math.log(value / best)) < math.log(100) / 6 / 4
    assert len(tried) == 7 + 2 * 3
    assert tried[:7] == pytest.approx([0.1 * 100 ** (i / 6) for i in range(7)], rel=1e-3)


def test_a_minimum_beyond_the_ends_is_followed():
    value, tried = found(lambda v: abs(math.log(v / 30)), Knob("weight", 0.1, 10.0), 5)
    assert value == pytest.approx(30, rel=0.3)
    assert max(tried) > 30


def test_the_best_of_two_minima_is_taken():
    def badness(v):
        return min(abs(math.log(v / 0.2)) + 0.5, abs(math.log(v / 5)))

    value, _ = found(badness, Knob("weight", 0.1, 10.0), 7)
    assert value == pytest.approx(5, rel=0.3)


def test_values_that_fail_are_avoided():
    value, _ = found(lambda v: math.inf if v > 2 else -v, Knob("weight", 0.1, 10.0), 7)
    assert 1 < value <= 2


def test_nothing_is_tried_beyond_a_bound():
    value, tried = found(lambda v: -v, Knob("cutoff", 0.1, 1.0, is_bounded=True), 4)
    assert value == 1
    assert max(tried) == 1
