"""Accuracy of classifiers of digits under attack, and what purifications restore of it.

Settings were chosen on the first 1,000 of MNIST's test digits; the figures are of digits after them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import invgen as ig
from benchmarks.plausibility.classifiers import classifiers
from benchmarks.plausibility.digits import test_digits
from benchmarks.priors import sources
from benchmarks.report import Report
from invgen.plausibility import (
    FGSM,
    PGD,
    AscentPurification,
    DenoisingPurification,
    DiffusionPurification,
    GreedyPurification,
    binomial_interval,
)
from invgen.plausibility.attacks import Classify

#: Radius of the attacks and of the purifications' balls.
EPS = 0.3

#: The first digit that figures are of, and the numbers of them: in all, and under attacks that take long, or
#: longer.
FIRST, COUNT, FEW, FEWEST = 1000, 500, 100, 40

#: Seed of purifications, other ones than those that attacks draw with.
SEED = 10**6

#: The method that is recommended, by its row.
RECOMMENDED = "denoising, sigma 0.2"


def purification(report: Report) -> None:
    """Clean digits, FGSM and PGD at 0.3, each as it is and purified; then attacks that know of it."""
    found = test_digits(report, FIRST, COUNT)
    if found is None:
        return
    x, labels = found
    weights = sources.data(report, "weights/mnist_lenet_classifier.pth")
    methods = _methods()
    clean = {name: method(x, seed=SEED) for name, method in methods.items()}
    for name, classify in classifiers(weights).items():
        attacked = {"FGSM": FGSM(EPS)(classify, x, labels), "PGD": PGD(EPS)(classify, x, labels)}
        before = {"clean": x, **attacked}
        accuracies = {"none": {kind: _right(classify, each, labels) for kind, each in before.items()}}
        for method, purify in methods.items():
            after = {kind: purify(each, seed=SEED) for kind, each in attacked.items()}
            after = {"clean": clean[method], **after}
            accuracies[method] = {kind: _right(classify, each, labels) for kind, each in after.items()}
            _row(report, name, method, accuracies)
        _row(report, name, "none", accuracies)
    classify = ig.metrics.digit_features().classify
    _adaptive(report, classify, methods, x, labels)
    _ascent(report, classify, x[:FEWEST], labels[:FEWEST])


def _methods() -> dict[str, Callable[..., Tensor]]:
    diffusion, autoregressive = ig.priors.load("digits"), ig.priors.load("digits-autoregressive")
    return {
        RECOMMENDED: DenoisingPurification(diffusion, EPS, sigma=0.2, iterations=5),
        "greedy, autoregressive": GreedyPurification(autoregressive, EPS),
        "diffusion, sigma 0.4": DiffusionPurification(diffusion, sigma=0.4, steps=10),
        "diffusion, sigma 0.4, in the ball": DiffusionPurification(diffusion, sigma=0.4, eps=EPS, steps=10),
    }


def _right(classify: Classify, x: Tensor, labels: Tensor) -> Tensor:
    """Which images are classified as what they are."""
    with torch.no_grad():
        return classify(x).argmax(1) == labels


def _percent(right: Tensor) -> str:
    low, high = binomial_interval(int(right.sum()), len(right))
    return f"{100 * float(right.double().mean()):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _row(report: Report, classifier: str, method: str, accuracies: dict[str, dict[str, Tensor]]) -> None:
    """Accuracies after a method, and whether the recommended one keeps and restores what it should."""
    own, none = accuracies[method], accuracies["none"]
    wanted, reached = "", None
    if method == RECOMMENDED:
        wanted = "clean within 2 points, and half of what PGD took restored"
        means = {kind: (float(none[kind].double().mean()), float(own[kind].double().mean())) for kind in own}
        clean, pgd = means["clean"], means["PGD"]
        reached = clean[1] >= clean[0] - 0.02 and pgd[1] - pgd[0] >= (clean[0] - pgd[0]) / 2
    measured = ", ".join(f"{kind} {_percent(right)}" for kind, right in own.items())
    report.row(f"{classifier}, {len(own['clean'])} digits, purified by: {method}", measured, wanted, reached)


def _adaptive(
    report: Report, classify: Classify, methods: dict[str, Callable[..., Tensor]], x: Tensor, labels: Tensor
) -> None:
    """Accuracy after purification, of images by attacks that know of it."""

    def row(attack: PGD, name: str, count: int, seen: Classify) -> None:
        purify = methods[name]
        attacked = attack(seen, x[:count], labels[:count])
        right = _right(classify, purify(attacked, seed=SEED), labels[:count])
        kind = "BPDA" if attack.purification else "PGD by its derivative"
        report.row(f"digit-features, {count} digits, {kind}, {attack.steps} steps: {name}", _percent(right))

    greedy, diffusion = "greedy, autoregressive", "diffusion, sigma 0.4"
    row(PGD(EPS, purification=methods[RECOMMENDED]), RECOMMENDED, FEW, classify)
    row(PGD(EPS, steps=20, purification=methods[greedy]), greedy, FEW, classify)
    row(PGD(EPS), RECOMMENDED, FEWEST, lambda x: classify(methods[RECOMMENDED](x)))
    row(PGD(EPS, steps=20, purification=methods[diffusion], draws=4), diffusion, FEWEST, classify)


def _ascent(report: Report, classify: Classify, x: Tensor, labels: Tensor) -> None:
    """Maxima of densities that are rough, which are no purification."""
    attacked = PGD(EPS)(classify, x, labels)
    for name in ("digits-flow", "digits-autoregressive"):
        prior = ig.priors.load(name)
        purified = AscentPurification(prior, EPS, iterations=10)(attacked)
        nats = [float(-prior.log_prob(each).mean()) / x[0].numel() for each in (attacked, purified)]
        report.row(
            f"digit-features, {len(x)} digits by PGD, by ascent of `{name}`: -log p of a pixel, accuracy",
            f"{nats[0]:.2f} before, {nats[1]:.2f} after; {_percent(_right(classify, purified, labels))}",
        )
