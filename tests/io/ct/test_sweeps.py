"""Compiled passes over rays: each is what a few lines of array arithmetic say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invgen.io.ct import sweeps
from invgen.io.ct.defects import median_filter
from invgen.io.ct.quanta import Quanta


def rays(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (4, 5), (7, 2), (30, 41)])
@pytest.mark.parametrize("limit", [0.0, 0.3])
def test_what_is_brighter_than_both_medians(shape, limit):
    data = rays(*shape)
    limits = limit * rays(*shape, seed=1)
    found = torch.empty(shape, dtype=torch.bool)
    sweeps.too_bright(data.numpy(), limits.numpy(), found.numpy())
    around = torch.maximum(median_filter(data, 5, 0), median_filter(data, 5, 1))
    assert torch.equal(found, data - around > limits)


@pytest.mark.parametrize("varying", [False, True])
def test_transmission_and_its_noise(varying):
    """The variance to first order, as `FlatField` states it."""
    views, columns, gain, read, of_dark = 4, 9, 2.5, 3.0, 0.4
    counts, dark = 100 * rays(views, columns), 5 * rays(columns, seed=1).double()
    flat = 80 + 20 * rays(views if varying else 1, columns, seed=2).double()
    reduction = 0.1 + rays(len(flat), seed=3).double()
    dark[3] = 200.0  # no brighter in the flat
    ratio, std, quanta = (torch.empty_like(counts) for _ in range(3))
    arrays = (each.numpy() for each in (counts, dark, flat, reduction))
    out = (each.numpy() for each in (ratio, std, quanta))
    sweeps.divided(*arrays, gain, read, of_dark, *out)
    span = torch.where(flat > dark, flat - dark, 1.0)
    signal = counts.double() - dark
    expected = signal / span
    variance = gain * signal.clamp(min=gain) + read
    variance = (
        variance + expected**2 * reduction[:, None] * (gain * span + read) + (1 - expected) ** 2 * of_dark
    )
    torch.testing.assert_close(ratio, expected.float())
    torch.testing.assert_close(std, (variance.sqrt() / span).float())
    torch.testing.assert_close(quanta, (signal / gain).float())


def test_the_floor_of_the_logarithm_is_the_noise_where_that_is_known():
    data, std = rays(6, 8) - 0.2, 0.3 * rays(6, 8, seed=1)
    std[2, 3] = torch.inf
    out, relative = torch.empty_like(data), torch.empty_like(data)
    low = sweeps.raised(*(each.numpy() for each in (data, std)), 0.05, out.numpy(), relative.numpy())
    floor = torch.where(std.isfinite(), std.clamp(min=0.05), torch.tensor(0.05))
    assert low == int((data < floor).sum())
    torch.testing.assert_close(out, data.maximum(floor))
    torch.testing.assert_close(relative, std / data.maximum(floor))


def test_deviations_of_columns_from_the_beam():
    data, std, beam = 1 + rays(5, 7), 0.1 + rays(5, 7, seed=1), 1 + rays(5, seed=2).double()
    std[1, 2] = torch.inf
    sums, least = torch.zeros(7, dtype=torch.float64), torch.full((7,), torch.inf, dtype=torch.float64)
    sweeps.deviations(*(each.numpy() for each in (data, std, beam, sums, least)))
    noise = std.double() / beam[:, None]
    expected = (data.double() / beam[:, None] - 1) / noise
    torch.testing.assert_close(sums, expected.sum(0))
    torch.testing.assert_close(least, expected.min(0).values)


def test_what_a_view_is():
    data = rays(5, 6)
    data[1], data[2, 3], data[3] = torch.nan, torch.inf, 2.0
    means = torch.empty(5, dtype=torch.float64)
    some, every, constant = (torch.empty(5, dtype=torch.bool) for _ in range(3))
    sweeps.looked_at(*(each.numpy() for each in (data, means, some, every, constant)))
    torch.testing.assert_close(means[[0, 3, 4]], data[[0, 3, 4]].double().mean(1))
    assert some.tolist() == [True, False, True, True, True]
    assert every.tolist() == [True, False, False, True, True]
    assert constant.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("fewer", range(5))
@pytest.mark.parametrize("count", [1, 50, 100, 201])
def test_few_quanta_are_found_by_their_number(count, fewer):
    """As by the quantile of which it is the definition."""
    values = torch.linspace(30, 90, count)
    values[:fewer] = 24.0 + torch.arange(fewer)[: len(values[:fewer])] / 10
    beam = torch.ones(count)
    found = Quanta(values, beam, torch.zeros(count))
    assert found.are_few == bool(np.quantile(values.numpy(), 0.01) < 25)
