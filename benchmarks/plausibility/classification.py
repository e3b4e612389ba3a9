"""Digits classified by priors of each class: accuracy, calibration, bits.

Settings and temperatures were chosen on the first 1,000 of MNIST's test digits; the figures are of digits
after them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.plausibility.digits import test_digits
from benchmarks.plausibility.kernels import BlurredKernels
from benchmarks.priors import sources
from benchmarks.report import Report
from invgen.plausibility import (
    PGD,
    BayesClassifier,
    DenoisingClassifier,
    binomial_interval,
    expected_calibration_error,
)
from invgen.plausibility.classification.base import GenerativeClassifier

#: Digits that temperatures are fitted on, those that figures are of, and those of bits and attacks.
CALIBRATION, FIRST, COUNT, FEW = 300, 1000, 1000, 50

#: Variance that is added to the covariances of Gaussians, standard deviation of kernels, levels of tables.
FLOOR, BANDWIDTH, LEVELS = 0.05, 0.15, 4

#: Standard deviation of a blur in pixels, and bandwidth after it.
BLUR, BLURRED = 0.8, 0.5


def classification(report: Report) -> None:
    """The shipped conditional diffusion model, and densities that are learned in seconds."""
    known, found = test_digits(report, 0, CALIBRATION), test_digits(report, FIRST, COUNT)
    if known is None or found is None:
        return
    x, labels = found
    diffusion = ig.priors.load("digits")
    denoising = DenoisingClassifier([diffusion.of_class(k) for k in range(10)])
    _row(report, "denoising errors of `digits`", denoising, known, x, labels, "98 %")
    _attacked(report, denoising, x[:FEW], labels[:FEW])
    learned = _learned(report)
    if learned is None:
        return
    of_bits = {
        f"Gaussians, variance + {FLOOR:g}": BayesClassifier([_gaussian(x) for x in learned]),
        f"kernels, bandwidth {BANDWIDTH:g}": BayesClassifier(
            [ig.priors.KernelDensity(x, BANDWIDTH) for x in learned]
        ),
    }
    # of blurred images, and of images of few levels
    others = {
        f"kernels around blurred digits, blur {BLUR:g}, bandwidth {BLURRED:g}": BayesClassifier(
            [BlurredKernels(x, BLUR, BLURRED) for x in learned]
        ),
        f"tables of contexts, {LEVELS} levels": BayesClassifier(
            [ig.priors.ContextTable.fit(x, levels=LEVELS) for x in learned]
        ),
    }
    for name, classifier in {**of_bits, **others}.items():
        _row(report, name, classifier, known, x, labels)
    for name, classifier in of_bits.items():
        bits = ig.metrics.bits_per_dimension(
            classifier, (255 * x[:FEW]).round().byte(), value_range=(0.0, 1.0)
        )
        report.row(f"{name}: bits per dimension of {FEW} digits", f"{bits.mean:.3f} ({bits.kind})")


def _learned(report: Report) -> list[Tensor] | None:
    """MNIST's training digits, class by class."""
    found = sources.digits(report)
    paths = [sources.data(report, f"digits/mnist-train-{i}-labels-idx1-ubyte.gz") for i in range(6)]
    if found is None or None in paths:
        return None
    labels = torch.cat([torch.from_numpy(ig.io.read_labels(path)) for path in paths if path])
    return [found[0][labels == k].float() / 255 for k in range(10)]


def _gaussian(x: Tensor) -> ig.priors.Gaussian:
    rows = x.flatten(1).double()
    covariance = torch.cov(rows.T) + FLOOR * torch.eye(rows.shape[1], dtype=torch.float64)
    return ig.priors.Gaussian(x.mean(0), covariance)


def _row(
    report: Report,
    name: str,
    classifier: GenerativeClassifier,
    known: tuple[Tensor, Tensor],
    x: Tensor,
    labels: Tensor,
    wanted: str = "",
) -> None:
    """Accuracy, and calibration as it is and by a temperature; where one is wanted, whether it is reached."""
    calibrated: Any = classifier.calibrated(*known)
    log_p = calibrated.log_probabilities(x)
    # with equal prior probabilities a temperature is a power of the probabilities
    plain = (calibrated.temperature * log_p).log_softmax(1)
    right = log_p.argmax(1) == labels
    low, high = binomial_interval(int(right.sum()), len(x))
    accuracy = float(right.double().mean())
    report.row(
        f"{name}: accuracy on {len(x)} digits",
        f"{100 * accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
        wanted,
        accuracy >= 0.98 if wanted else None,
    )
    errors = [100 * expected_calibration_error(each, labels) for each in (plain, log_p)]
    report.row(
        f"{name}: calibration error without a temperature, and with {calibrated.temperature:.3g}",
        f"{errors[0]:.2f} %, {errors[1]:.2f} %",
    )


def _attacked(report: Report, classifier: DenoisingClassifier, x: Tensor, labels: Tensor) -> None:
    """Digits that fool a network, which the classifier by denoising errors sees as well."""
    network = ig.metrics.digit_features().classify
    attacked = PGD(0.3)(network, x, labels)
    right = [
        int((found == labels).sum()) for found in (network(attacked).argmax(1), classifier.classify(attacked))
    ]
    report.row(
        f"{len(x)} digits by PGD at 0.3 on digit-features: right by it, and by denoising errors",
        f"{right[0]}, {right[1]}",
    )
