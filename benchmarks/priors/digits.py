"""`digits`: samples that are neither copies nor all alike."""

from __future__ import annotations

import torch

import invgen as ig
from benchmarks.priors import sources
from benchmarks.report import Report

COUNT = 500


def digits(report: Report) -> None:
    """500 samples beside 500 test digits."""
    model, found = sources.prior(report, "digits"), sources.digits(report)
    path = sources.data(report, "digits/mnist8k-labels-idx1-ubyte.gz")
    if model is None or found is None or path is None:
        return
    learned, held_out = found[0].float() / 255, found[1][-COUNT:].float() / 255
    labels = torch.from_numpy(ig.io.read_labels(path))[-COUNT:]
    samples = model.sample(COUNT, seed=0, steps=18).clamp(0, 1)

    memory = ig.metrics.memorization(samples, learned, held_out)
    report.row(
        f"distance of {COUNT} samples to the nearest learned digit, over that of held-out digits: median",
        f"{memory.ratio:.3f}",
        "1 +- 0.1",
        abs(memory.ratio - 1) <= 0.1,
    )
    own, others = memory.distances, memory.reference
    tenths = [f"{float(own.quantile(q) / others.quantile(q)):.2f}" for q in (0.1, 0.9)]
    report.row("the same: lowest and highest tenth", ", ".join(tenths))

    classifier = ig.metrics.digit_features().classify
    right = float((classifier(held_out).argmax(1) == labels).double().mean())
    report.row("the classifier that judges: held-out digits that it gets right", f"{100 * right:.1f} %")
    shares = classifier(samples).argmax(1).bincount(minlength=10).double() / COUNT
    entropy = float(-torch.special.xlogy(shares, shares).sum())
    report.row("entropy of the classes of samples", f"{entropy:.2f} nats", "2.1 nats", entropy >= 2.1)
    label = torch.arange(10).repeat_interleave(COUNT // 50)
    asked = torch.cat(
        [model.of_class(k).sample(COUNT // 50, seed=COUNT * (k + 1), steps=18) for k in range(10)]
    )
    right = float((classifier(asked.clamp(0, 1)).argmax(1) == label).double().mean())
    report.row("samples of a class that are seen as that class", f"{100 * right:.0f} %")
