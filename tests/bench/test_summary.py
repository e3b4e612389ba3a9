"""Means, errors and tests over images."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_rel

from invgen.bench.record import Cell, Record
from invgen.bench.summary import compare, corrected, lines


def record(method, image, value, seed=0, error=None, run="default", suite="s", task="t"):
    cell = Cell(suite, task, f"image {image}", "test", method, seed, run)
    measures = {} if error else {"psnr": value}
    return Record(f"{method}-{image}-{seed}-{run}", cell, measures, {"seconds": 2.0}, error=error)


def test_seeds_of_an_image_are_one_number():
    """Of two images of two seeds each: mean 25, standard error that of 20 and 30."""
    values = {(0, 0): 19.0, (0, 1): 21.0, (1, 0): 28.0, (1, 1): 32.0}
    (line,) = lines([record("a", image, value, seed) for (image, seed), value in values.items()])
    assert line.means["psnr"] == 25
    assert line.errors["psnr"] == pytest.approx(np.std([20, 30], ddof=1) / math.sqrt(2))
    assert (line.images, line.cells) == (2, 4)
    assert line.means["seconds"] == 2


def test_failures_are_counted_and_not_averaged():
    (line,) = lines([record("a", 0, 30.0), record("a", 1, 0.0, error="no")])
    assert line.means["psnr"] == 30
    assert "psnr" not in line.errors
    assert [failed.cell.image for failed in line.failures] == ["image 1"]


def test_pairs_are_compared_image_by_image_and_corrected_for_their_number():
    rng = np.random.default_rng(0)
    base = rng.normal(30, 5, 12)  # images differ by far more than methods do
    gains = {"a": 0.0, "b": 0.5, "c": 0.5}
    noise = {name: rng.normal(0, 0.1, 12) for name in gains}
    values = {name: base + gain + noise[name] for name, gain in gains.items()}
    found = corrected(compare([record(n, i, values[n][i]) for n, i in product(gains, range(12))], "psnr"))
    plain = {
        (one.first, one.second): ttest_rel(values[one.first], values[one.second]).pvalue for one in found
    }
    assert set(plain) == {("a", "b"), ("a", "c"), ("b", "c")}
    ordered = sorted(plain.values())
    holm = np.maximum.accumulate([min(1, (3 - i) * p) for i, p in enumerate(ordered)])
    assert sorted(one.probability for one in found) == pytest.approx(holm)
    by_pair = {(one.first, one.second): one for one in found}
    assert by_pair["a", "b"].probability < 0.01
    assert by_pair["b", "c"].probability > 0.05
    assert by_pair["a", "b"].difference == pytest.approx((values["a"] - values["b"]).mean())


def test_equal_methods_are_not_different():
    (one,) = compare([record(n, i, 30.0 + i) for n, i in product("ab", range(8))], "psnr")
    assert (one.difference, one.probability) == (0.0, 1.0)


def test_a_difference_that_is_always_the_same_is_no_accident():
    (one,) = compare([record(n, i, 30.0 + i + 2 * (n == "b")) for n, i in product("ab", range(4))], "psnr")
    assert (one.difference, one.error, one.probability) == (-2.0, 0.0, 0.0)


def test_images_that_one_failed_on_are_left_out_of_its_pairs():
    records = [record(n, i, 30.0 + i + (n == "b")) for n, i in product("ab", range(8))]
    records[0] = record("a", 0, 0.0, error="no")
    (one,) = compare(records, "psnr")
    assert one.images == 7
    assert one.difference == pytest.approx(-1)
