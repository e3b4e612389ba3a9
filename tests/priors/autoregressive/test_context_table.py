"""Counts in contexts: probabilities that sum to one, against counting by hand, and of digits."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.priors import ContextTable
from invgen.priors.autoregressive.counts import quantizer


def random_images(n, *shape, levels=4, seed=0):
    """Neighboring pixels are alike: sums of a few random numbers."""
    steps = torch.randint(-1, 2, (n, *shape), generator=torch.Generator().manual_seed(seed))
    return (steps.cumsum(-1).clamp(0, levels - 1)).double() / (levels - 1)


def test_probabilities_of_all_small_images_sum_to_one():
    prior = ContextTable.fit(random_images(40, 2, 2), levels=4)
    every = torch.tensor(list(itertools.product(range(4), repeat=4))).reshape(-1, 2, 2).double() / 3
    assert abs(float(prior.log_prob(every).exp().sum()) - 1) < 1e-12
    assert bool(torch.isfinite(prior.log_prob(every)).all())


def test_one_context_is_counted_by_hand():
    """A value given the one to the left, mixed with its frequency, which is mixed with equal chances."""
    images = random_images(30, 3, 5)
    prior = ContextTable.fit(images, levels=4, contexts=((), ((0, -1, 4),)))
    bins = quantizer(torch.bincount((images * 3).round().long().flatten(), minlength=4), 4)
    alone, pairs = Counter(), Counter()
    for image in (images * 3).round().int().tolist():
        for row in image:
            for left, value in zip([0, *row], row, strict=False):
                alone[value] += 1
                pairs[int(bins[left]), value] += 1
    first, second = prior.escapes

    def mixed(counts, value, lower, escape):
        mass = escape * sum(c > 0 for c in counts)
        return (counts[value] + mass * lower) / (sum(counts) + mass)

    total, x = 0.0, [[0, 1, 1], [3, 2, 0]]
    for row in x:
        for left, value in zip([0, *row], row, strict=False):
            p = mixed([alone[v] for v in range(4)], value, 1 / 4, first)
            total += math.log(mixed([pairs[int(bins[left]), v] for v in range(4)], value, p, second))
    narrow = ContextTable(
        ig.priors.ImageFormat((2, 3), field="real", value_range=(0, 1), levels=4),
        prior._tables,
        prior.contexts,
        prior.escapes,
    )
    assert math.isclose(float(narrow.log_prob(torch.tensor(x).double() / 3)), total, rel_tol=1e-12)


def test_bins_have_equal_counts_and_common_values_their_own():
    assert quantizer(torch.ones(8), 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert quantizer(torch.tensor([80, 1, 1, 1, 1]), 3).tolist() == [0, 1, 1, 2, 2]
    assert quantizer(torch.tensor([26, 24, 26, 24]), 4).tolist() == [0, 1, 2, 3]
    assert quantizer(torch.tensor([24, 26, 24, 26]), 4).tolist() == [0, 1, 2, 3]


def test_blocks_make_no_difference(monkeypatch):
    images = random_images(30, 3, 5)
    whole = ContextTable.fit(images, levels=4)
    monkeypatch.setattr("invgen.priors.autoregressive.context_table._BLOCK", 40)
    parts = ContextTable.fit(images, levels=4)
    assert torch.equal(whole.log_prob(images), parts.log_prob(images))


def test_samples_have_the_probabilities():
    prior = ContextTable.fit(random_images(40, 2, 1), levels=4)
    every = torch.tensor(list(itertools.product(range(4), repeat=2))).reshape(-1, 2, 1).double() / 3
    p = prior.log_prob(every).exp().numpy()
    drawn = (prior.sample(2000, 0).reshape(-1, 2) * 3).round().int()
    counts = np.bincount((4 * drawn[:, 0] + drawn[:, 1]).numpy(), minlength=16)
    assert (np.abs(counts / 2000 - p) < 4 * np.sqrt(p * (1 - p) / 2000) + 1e-3).all()


def test_longer_contexts_explain_images_that_depend_on_them():
    """Each pixel repeats the one above: one context of it predicts what frequencies cannot."""
    rows = torch.randint(4, (200, 1, 6), generator=torch.Generator().manual_seed(0)).double() / 3
    images = rows.expand(200, 5, 6).contiguous()
    fit = [ContextTable.fit(images[:150], levels=4, contexts=c) for c in (((),), ((), ((-1, 0, 4),)))]
    alone, given = (float(-p.log_prob(images[150:]).mean()) / (30 * math.log(2)) for p in fit)
    assert abs(alone - 2) < 0.01  # four equal chances
    # beyond the image are zeros: of the pixels below a zero half are in the first row, so that a zero follows
    # with the probability 5/8, any other value with 1/8
    exact = (0.25 * math.log2(8 / 5) + 0.75 * 3 + 4 * 0.25 * math.log2(8 / 5)) / 5
    assert abs(given - exact) < 0.05


def test_a_file_holds_it(tmp_path):
    images = random_images(20, 3, 3)
    prior = ContextTable.fit(images, levels=4).with_card(data="random")
    prior.save(tmp_path / "table.safetensors")
    again = ig.priors.load(tmp_path / "table.safetensors")
    assert isinstance(again, ContextTable)
    assert again.image_format == prior.image_format
    assert again.card["data"] == "random"
    assert torch.equal(again.log_prob(images), prior.log_prob(images))


def test_a_file_with_keys_in_disorder_is_refused(tmp_path):
    prior = ContextTable.fit(random_images(20, 3, 3), levels=4)
    header, tensors = ig.priors.files.checkpoints.read(_saved(prior, tmp_path))
    for name, spoiled in (("keys.1", tensors["keys.1"].flip(0)), ("counts.1", tensors["counts.1"][1:])):
        with pytest.raises(ig.errors.FileError, match=r"increase|counts"):
            ContextTable.restored("file", header, {**tensors, name: spoiled})


def _saved(prior, folder):
    prior.save(folder / "table.safetensors")
    return folder / "table.safetensors"


@pytest.mark.slow
def test_digits_take_less_than_the_published_table(measured_file):
    """1.24 bits per pixel, of a table of 7,500 digits, on the last 500."""
    digits = torch.from_numpy(
        np.stack(ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz")))
    ).float()
    prior = ContextTable.fit(digits[:7500])
    bits = float(-prior.log_prob(digits[7500:].double()).mean()) / (784 * math.log(2))
    assert bits < 1.24


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        (torch.full((2, 3, 3), math.nan), {}, ig.errors.DataError, "NaN"),
        (torch.full((2, 3, 3), 7.0), {}, ig.errors.DataError, "levels from 0 to 1"),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), {}, ig.errors.DtypeError, "float32"),
        (torch.zeros(3, 3), {}, ig.errors.ShapeError, r"\(n, H, W\)"),
        ([torch.zeros(3, 3), torch.zeros(3, 4)], {}, ig.errors.ShapeError, "one shape"),
        (torch.zeros(2, 3, 3), {"levels": 1}, ig.errors.ParameterError, "levels"),
        (torch.zeros(2, 3, 3), {"contexts": (((0, -1, 2),),)}, ig.errors.ParameterError, "empty"),
        (torch.zeros(2, 3, 3), {"contexts": ((), ((0, 1, 2),))}, ig.errors.ParameterError, "before"),
        (torch.zeros(2, 3, 3), {"contexts": ((), ((-3, 0, 2),))}, ig.errors.ParameterError, "at most 2"),
        (torch.zeros(2, 3, 3), {"contexts": ((), ((-1, 0, 2**60),))}, ig.errors.ParameterError, "many"),
    ],
)
def test_bad_input_is_named(images, options, error, words):
    with pytest.raises(error, match=words):
        ContextTable.fit(images, **options)
