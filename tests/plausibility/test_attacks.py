"""Attacks in closed form on linear classifiers, and one that knows of the purification."""

import math

import pytest
import torch

from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.plausibility import FGSM, PGD
from invgen.plausibility.attacks import _loss


def linear(seed=0, classes=2, shape=(3, 4)):
    """Logits that are linear in the images."""
    weights = torch.randn(classes, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return weights, lambda x: torch.einsum("nhw,khw->nk", x, weights)


def images(n=6, shape=(3, 4), seed=1):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.tensor([0, 1, 0, 1, 1, 0])


def worst(weights, x, labels, eps):
    """Of two classes the loss grows with the other logit over the own: a corner of the ball, in the range."""
    towards = (weights[1 - labels] - weights[labels]).sign()
    return (x + eps * towards).clamp(0, 1)


def test_the_worst_image_for_a_linear_classifier_is_a_corner_of_the_ball():
    weights, classify = linear()
    x = images()
    expected = worst(weights, x, LABELS, 0.2)
    torch.testing.assert_close(FGSM(0.2)(classify, x, LABELS), expected)
    for attack in (PGD(0.2), PGD(0.2, steps=5, starts=3), PGD(0.2, steps=100, step=0.01)):
        torch.testing.assert_close(attack(classify, x, LABELS, seed=3), expected)


def test_steps_that_are_too_short_do_not_reach_the_corner():
    weights, classify = linear()
    x = images()
    attacked = PGD(0.2, steps=2, step=0.01)(classify, x, LABELS)
    assert not torch.allclose(attacked, worst(weights, x, LABELS, 0.2))
    assert bool(((attacked - x).abs() <= 0.2 + 1e-12).all())


def test_images_stay_in_the_ball_and_in_the_range():
    generator = torch.Generator().manual_seed(0)
    layers = [torch.randn(8, 12, generator=generator), torch.randn(3, 8, generator=generator)]

    def classify(x):
        return torch.tanh(x.flatten(1) @ layers[0].mT) @ layers[1].mT

    x = 2 * images().float() - 1
    for attack in (FGSM(0.3, (-1.0, 1.0)), PGD(0.3, starts=2, value_range=(-1.0, 1.0))):
        attacked = attack(classify, x, LABELS)
        assert float((attacked - x).abs().max()) <= 0.3 + 1e-6
        assert float(attacked.abs().max()) <= 1
        before, after = (_loss(classify, each, LABELS)[0] for each in (x, attacked))
        assert bool((after > before).all())


def test_images_do_not_see_each_other():
    _, classify = linear(classes=5)
    x = images()

    def blurred(x, *, seed):
        noise = [torch.randn(3, 4, generator=torch.Generator().manual_seed(seed + i)) for i in range(len(x))]
        return x + 0.1 * torch.stack(noise)

    for attack in (PGD(0.2, steps=4, starts=2), PGD(0.2, steps=4, starts=2, purification=blurred, draws=3)):
        together = attack(classify, x, LABELS, seed=7)
        alone = [attack(classify, x[i : i + 1], LABELS[i : i + 1], seed=7 + i) for i in range(len(x))]
        torch.testing.assert_close(together, torch.cat(alone))


def test_of_several_starts_the_worst_is_kept():
    def classify(x):  # two maxima of the loss of class 0 in the ball around 0.5, of different height
        t = x.flatten(1)
        return torch.cat([torch.zeros_like(t), torch.cos(20 * (t - 0.2)) + t], dim=1)

    x, label = torch.full((40, 1, 1), 0.5, dtype=torch.float64), torch.zeros(40, dtype=torch.long)
    losses = [_loss(classify, PGD(0.35, starts=n)(classify, x, label), label)[0] for n in (1, 8)]
    assert bool((losses[1] >= losses[0] - 1e-3).all())
    assert float(losses[1].mean()) > float(losses[0].mean()) + 0.05


def test_bpda_through_the_identity_is_pgd():
    _, classify = linear(classes=4)
    x = images()
    plain = PGD(0.1, steps=7, starts=2)(classify, x, LABELS, seed=5)
    through = PGD(0.1, steps=7, starts=2, purification=lambda x, *, seed: x, draws=2)
    assert torch.equal(through(classify, x, LABELS, seed=5), plain)


def test_bpda_goes_through_what_has_no_derivative():
    """Rounding has the derivative zero: PGD through it stands still, and BPDA reaches the corner."""
    weights, classify = linear()
    x = images()

    def rounded(x, *, seed=0):
        return (8 * x).round() / 8

    attacked = PGD(0.2, purification=rounded)(classify, x, LABELS)
    torch.testing.assert_close(attacked, worst(weights, x, LABELS, 0.2))
    seen = PGD(0.2, steps=3)(lambda x: classify(rounded(x)), x, LABELS)
    assert not torch.allclose(seen, attacked)


def test_averages_over_draws_see_through_noise():
    """The sign of one noisy gradient is often wrong; that of the mean of many seldom."""

    def classify(x):  # noise in x is noise in the gradient of a parabola
        return torch.stack([0.01 * x.square().flatten(1).sum(1), x.new_zeros(len(x))], dim=1)

    def noisy(x, *, seed):
        noise = [torch.randn(3, 4, generator=torch.Generator().manual_seed(seed + i)) for i in range(len(x))]
        return x + torch.stack(noise).double()

    x, label = images().clamp(0.4, 0.6), torch.zeros(6, dtype=torch.long)
    reached = [
        PGD(0.2, steps=5, step=0.05, purification=noisy, draws=n)(classify, x, label).square().mean()
        for n in (1, 30)
    ]
    assert float(reached[1]) < float(reached[0]) - 0.01


def test_equal_seeds_give_equal_attacks():
    _, classify = linear(classes=3)
    x = images()
    found = [PGD(0.2, steps=1, step=0.01)(classify, x, LABELS, seed=s) for s in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_bad_input_is_refused():
    _, classify = linear()
    x = images()
    for eps in (0, -0.1, 1.5, math.nan):
        with pytest.raises(ParameterError):
            FGSM(eps)
    with pytest.raises(ParameterError):
        PGD(0.1, steps=0)
    with pytest.raises(ParameterError):
        PGD(0.1, step=-1.0)
    with pytest.raises(DataError, match="from 0 to 1"):
        FGSM(0.1)(classify, 255 * x, LABELS)
    with pytest.raises(DataError):
        PGD(0.1)(classify, x * math.nan, LABELS)
    with pytest.raises(DtypeError):
        PGD(0.1)(classify, x, LABELS.double())
    with pytest.raises(ShapeError):
        PGD(0.1)(classify, x, LABELS[:3])
    with pytest.raises(DataError, match="0 to 1"):
        PGD(0.1)(classify, x, LABELS + 1)
    with pytest.raises(CapabilityError, match="derivative"):
        FGSM(0.1)(lambda x: classify(x).detach(), x, LABELS)
    assert PGD(0.1)(classify, x[:0], LABELS[:0]).shape == (0, 3, 4)
