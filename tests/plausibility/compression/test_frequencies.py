"""Whole-number frequencies: they add up, are close to probabilities, and are what the coder uses."""

import numpy as np
import pytest
import torch

from invgen.plausibility.compression import frequencies, tables
from invgen.plausibility.compression.coders import Decoder, Encoder, Stack, less_one
from invgen.plausibility.compression.frequencies import TOTAL
from invgen.priors.nets.logistics import level_log_prob

DRAW = torch.Generator().manual_seed(0)


def on_grid(*shape, scale):
    return (torch.randn(shape, generator=DRAW, dtype=torch.float64) * scale * 2**16).round() / 2**16


def of_softmax():
    logits = on_grid(50, 256, scale=4)
    return frequencies.softmax(logits), torch.softmax(logits, -1)


def of_logistics():
    logits, means, log_scales = (on_grid(50, 3, scale=scale) for scale in (1, 0.5, 1.5))
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    each = level_log_prob(levels, means[..., None], log_scales[..., None] - 2, 256)
    expected = (torch.log_softmax(logits, -1)[..., None] + each).logsumexp(-2).exp()
    return frequencies.logistics(logits, means, log_scales - 2, 256), expected


def of_bernoulli():
    odds = on_grid(50, scale=3)
    return frequencies.bernoulli(odds), torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], -1)


def of_normal():
    means, log_variances = on_grid(50, scale=1), on_grid(50, scale=1) - 3
    edges = torch.special.ndtri(torch.arange(1025, dtype=torch.float64) / 1024)
    below = torch.special.ndtr((edges - means[:, None]) / (log_variances / 2).exp()[:, None])
    whole = torch.tensor(tables.normal_quantiles(1024), dtype=torch.float64) / 2**16
    return frequencies.normal(means, log_variances, whole), below.diff(dim=-1)


@pytest.mark.parametrize("made", [of_softmax, of_logistics, of_bernoulli, of_normal])
def test_they_add_up_and_cost_next_to_nothing(made):
    found, expected = made()
    assert torch.equal(found, found.round())
    assert (found.sum(-1) == TOTAL).all()
    assert (found >= 1).all()
    # bits for each symbol beyond the entropy: Kullback and Leibler's divergence
    p = expected / expected.sum(-1, keepdim=True)
    divergence = torch.special.xlogy(p, p / (found / TOTAL)).sum(-1) / np.log(2)
    assert divergence.mean() < 2e-3


def test_extremes_add_up():
    huge = torch.tensor([2.0**25, -(2.0**25), 0, 1], dtype=torch.float64)
    for found in (
        frequencies.softmax(huge),
        frequencies.softmax(torch.zeros(256, dtype=torch.float64)),
        frequencies.logistics(huge[:, None], huge.flip(0)[:, None], huge[:, None], 256),
        frequencies.logistics(huge, huge, -huge, 2),
        frequencies.bernoulli(huge),
        frequencies.normal(huge, huge.flip(0), torch.arange(-9.0, 9.0).double()),
        frequencies.shared(torch.tensor([1.0, 0, 0], dtype=torch.float64), TOTAL),
    ):
        assert (found.sum(-1) == TOTAL).all()
        assert (found >= 1).all()


def stack_by_definition(symbols, rows):
    """Duda's range variant with a state of 64 bits and words of 32, in Python's integers."""
    words, state = [], 0
    for symbol, row in zip(symbols[::-1], rows[::-1], strict=True):
        frequency, below = row[symbol], sum(row[:symbol])
        if state >> 40 >= frequency:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << 24) + below + state % frequency
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return np.array(words, "<u4").tobytes()


@pytest.mark.parametrize("made", [of_softmax, of_logistics, of_bernoulli, of_normal])
def test_the_coder_uses_these_very_integers(made):
    rows = made()[0]
    generator = np.random.default_rng(0)
    symbols = generator.integers(0, rows.shape[-1], len(rows)).astype(np.int32)
    stack = Stack()
    stack.push(symbols, less_one(rows))
    assert stack.bytes() == stack_by_definition(symbols.tolist(), rows.long().tolist())
    assert (Stack(stack.bytes()).pop(less_one(rows)) == symbols).all()
    coder = Encoder()
    coder.write(symbols, less_one(rows))
    assert (Decoder(coder.bytes()).read(less_one(rows)) == symbols).all()


def test_what_was_drawn_from_a_stack_can_be_pushed_again():
    """Also where it takes more bits than are there."""
    rows = less_one(of_normal()[0])
    for content in (b"", b"\5\0\0\0", bytes(range(1, 13)), bytes(range(1, 201))):
        stack = Stack(content)
        drawn = stack.pop(rows)
        stack.push(drawn, rows)
        assert stack.bytes() == content
