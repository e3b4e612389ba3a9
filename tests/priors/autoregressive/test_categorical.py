"""Softmax over the levels of each pixel: its probabilities, and samples of it."""

import pytest
import torch

from invgen.core.errors import ParameterError
from invgen.priors import Autoregressive
from invgen.priors.nets.categorical import CategoricalLevels

from ...contracts.numbers import normal


def test_probabilities_are_those_of_the_softmax_and_sum_to_one():
    levels = 5
    logits = normal(1, levels, 1, 1)
    grid = (2 * torch.arange(levels).double() / (levels - 1) - 1)[:, None, None, None]
    found = CategoricalLevels(logits.expand(levels, -1, -1, -1)).log_prob(grid).exp().flatten()
    assert torch.allclose(found, torch.softmax(logits.flatten(), 0), atol=1e-14)
    assert float(found.sum()) == pytest.approx(1, abs=1e-13)


def test_samples_follow_the_probabilities():
    levels, n = 6, 40_000
    logits = normal(1, levels, 1, 1, seed=3)
    uniform = torch.rand(n, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = CategoricalLevels(logits.expand(n, -1, -1, -1)).sample(uniform)
    assert x.shape == (n, 1, 1, 1)
    index = (x.flatten() + 1) / 2 * (levels - 1)
    assert torch.allclose(index, index.round(), atol=1e-12)
    expected = n * torch.softmax(logits.flatten(), 0)
    counts = index.round().long().bincount(minlength=levels)
    # Pearson's statistic of 5 degrees of freedom: beyond 20.5 once in a thousand
    assert float(((counts - expected) ** 2 / expected).sum()) < 20.5


def test_channels_that_depend_on_one_another_need_logistics():
    with pytest.raises(ParameterError, match="images of one channel"):
        Autoregressive.untrained((3, 4, 4), mixtures=0)
