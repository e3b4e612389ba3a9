"""The generative priors of digits: code length, distance of samples to digits, memory, time per sample.

They have learned from MNIST's 60,000 training digits, and are measured on 8,000 of its test digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.priors import codes, sources
from benchmarks.report import Report, seconds
from invgen.metrics import bits_per_dimension, frechet_distance, memorization, precision_recall
from invgen.priors import Density

#: Samples of each prior, and real digits beside them.
SAMPLES = 2000

#: Published bits per dimension, 8 bits: Townsend, Bird and Barber (2019), table 2.
COMPRESSED = {"bz2": 1.42, "PNG": 2.79, "WebP": 2.10}


@dataclass(frozen=True)
class Wanted:
    """What a prior should reach: bits per dimension, those published, and seconds of one sample and of 64."""

    bits: float = math.inf
    published: str = ""
    one: float = math.inf
    many: float = math.inf
    #: test digits whose bits are counted, from the last
    count: int = 8000


PRIORS = {
    # along the probability flow each digit takes hundreds of evaluations of the network
    "digits": Wanted(count=100),
    "digits-gan": Wanted(),
    "digits-vae": Wanted(1.40, "1.39 in BB-ANS"),
    "digits-flow": Wanted(1.15, "Glow 1.05, RealNVP 1.06"),
    "digits-autoregressive": Wanted(0.90, "aim 0.80", one=3.0, many=10.0),
}


def generative(report: Report) -> None:
    """Tables and compressors first, then every prior that is there."""
    found = sources.digits(report)
    if found is None:
        return
    learned, test = found
    baselines = _baselines(report, learned, test)
    comparison = Comparison(learned, test)
    comparison.control(report)
    for name, wanted in PRIORS.items():
        prior = sources.prior(report, name)
        if prior is not None:
            _bits(report, name, prior, wanted, test, baselines)
            comparison(report, name, prior)
            _times(report, name, prior, wanted)


def _baselines(report: Report, learned: Tensor, test: Tensor) -> dict[str, float]:
    """Bits per dimension of what is no network."""
    found = codes.together(test) | codes.one_by_one(test)
    for name, bits in found.items():
        how = "each a file" if name in ("PNG", "WebP") else "all in one file"
        published = f" [{COMPRESSED[name]:.2f}]" if name in COMPRESSED else ""
        report.row(f"bits per dimension: {name}, {how}", f"{bits:.3f}{published}")
    table = ig.priors.ContextTable.fit(learned.float() / 255)
    bits = bits_per_dimension(table, test)
    found["the context table"] = bits.mean
    report.row("bits per dimension: context table", f"{bits.mean:.3f} +- {bits.standard_error:.3f}")
    return found


def _bits(
    report: Report, name: str, prior: Any, wanted: Wanted, test: Tensor, baselines: dict[str, float]
) -> None:
    """Code length of test digits, and which of the baselines are shorter."""
    if not isinstance(prior, Density):
        report.row(f"`{name}`: bits per dimension", "none: it has no density")
        return
    images = test[-wanted.count :]
    axes = prior.image_format.axes
    bits = bits_per_dimension(prior, images if axes == 2 else images[:, None])
    better = [f"{baseline} ({b:.2f})" for baseline, b in baselines.items() if b < bits.mean]
    beside = f"; **loses to {', '.join(better)}**" if better else "; shorter than all of the above"
    published = f" [{wanted.published}]" if wanted.published else ""
    report.row(
        f"`{name}`: bits per dimension, {bits.kind}, {len(images)} test digits",
        f"{bits.mean:.3f} +- {bits.standard_error:.3f}{published}{beside}",
        f"at most {wanted.bits}" if wanted.bits < math.inf else "",
        bits.mean <= wanted.bits if wanted.bits < math.inf else None,
    )


class Comparison:
    """Samples beside real digits: every fourth test digit, as their writers change along the set."""

    def __init__(self, learned: Tensor, test: Tensor) -> None:
        self.learned, self.test = learned.float() / 255, test.float() / 255
        quarters = [self.test[i::4] for i in range(4)]
        self.real, self.reference = quarters[0], torch.cat(quarters[1:])
        self.features = ig.metrics.digit_features()

    def control(self, report: Report) -> None:
        """The same of real digits: what a prior can reach."""
        self._rows(report, f"{len(self.real)} real digits", self.real, self.test[1::4], self.reference)

    def __call__(self, report: Report, name: str, prior: Any) -> None:
        """Rows of a prior."""
        samples = prior.sample(SAMPLES, seed=0).reshape(-1, 28, 28).clamp(0, 1)
        self._rows(report, f"{SAMPLES} samples of `{name}`", samples, self.real, self.test)

    def _rows(self, report: Report, who: str, samples: Tensor, real: Tensor, held_out: Tensor) -> None:
        distance = frechet_distance(samples, self.reference, self.features)
        report.row(f"{who}: Fréchet distance of classifier features to the other digits", f"{distance:.3f}")
        found = precision_recall(real, samples, features=self.features)
        report.row(f"{who}: precision, recall", f"{found.precision:.3f}, {found.recall:.3f}")
        memory = memorization(samples, self.learned, held_out)
        error = math.sqrt(memory.expected_share * (1 - memory.expected_share) / len(samples))
        excess = (memory.share - memory.expected_share) / error
        report.row(
            f"{who}: distance to the nearest learned digit over that of held-out digits",
            f"{memory.ratio:.3f} (median)",
        )
        # smooth samples are near to all digits, and a model knows those that it has learned from a little:
        # copies are both
        report.row(
            f"{who}: ranks of these distances; share nearest to a learned digit, {memory.expected_share:.3f} "
            "by chance",
            f"z = {memory.z:.1f}; {memory.share:.3f}, {excess:+.1f} standard errors",
            "not both z < -3 and more than 3 standard errors",
            not (memory.z < -3 and excess > 3),
        )


def _times(report: Report, name: str, prior: Any, wanted: Wanted) -> None:
    """Seconds of one sample alone, and of a batch."""
    for n, most in ((1, wanted.one), (64, wanted.many)):
        took = seconds(lambda n=n: prior.sample(n, seed=0), repeats=1)
        limited = most < math.inf
        report.row(
            f"`{name}`: seconds of {n} sample{'s' * (n > 1)}, {torch.get_num_threads()} threads",
            f"{took:.2f}" + f" ({took / n:.3f} each)" * (n > 1),
            f"at most {most:g}" if limited else "",
            took <= most if limited else None,
        )
