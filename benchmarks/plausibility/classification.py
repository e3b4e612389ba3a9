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
from invgen.priors import Density

#: Digits that temperatures are fitted on: of slow classifiers, and of kernels.
CALIBRATION, CHOSEN = 300, 1000

#: The first digit that figures are of, and how many: of slow classifiers, of kernels, of bits and attacks.
FIRST, COUNT, ALL, FEW = 1000, 1000, 7000, 50

#: Variance that is added to the covariances of Gaussians, standard deviation of kernels, levels of tables.
FLOOR, BANDWIDTH, LEVELS = 0.05, 0.15, 4


def classification(report: Report) -> None:
    """The shipped conditional diffusion model, and densities that are learned in seconds."""
    known, found = test_digits(report, 0, CHOSEN), test_digits(report, FIRST, ALL)
    learned = _learned(report)
    if known is None or found is None or learned is None:
        return
    tangents = BayesClassifier([ig.priors.TangentKernelDensity(x, BANDWIDTH) for x in learned])
    name = f"tangent kernels, bandwidth {BANDWIDTH:g}"
    _row(report, name, tangents, known, found, (COUNT, ALL), "98 %")
    x, labels = found[0][:COUNT], found[1][:COUNT]
    _bits(report, name, tangents, x[:FEW])
    _attacked(report, name, tangents, x[:FEW], labels[:FEW])
    del tangents
    few = known[0][:CALIBRATION], known[1][:CALIBRATION]
    gaussians = BayesClassifier([_gaussian(x) for x in learned])
    kernels = BayesClassifier([ig.priors.KernelDensity(x, BANDWIDTH) for x in learned])
    for name, classifier in (
        (f"Gaussians, variance + {FLOOR:g}", gaussians),
        (f"kernels, bandwidth {BANDWIDTH:g}", kernels),
    ):
        _row(report, name, classifier, few, (x, labels), (COUNT,))
        _bits(report, name, classifier, x[:FEW])
    # of images of few levels, whose bits are others
    tables = BayesClassifier([ig.priors.ContextTable.fit(x, levels=LEVELS) for x in learned])
    _row(report, f"tables of contexts, {LEVELS} levels", tables, few, (x, labels), (COUNT,))
    diffusion = ig.priors.load("digits")
    denoising = DenoisingClassifier([diffusion.of_class(k) for k in range(10)])
    name = "denoising errors of `digits`"
    _row(report, name, denoising, few, (x, labels), (COUNT,))
    _attacked(report, name, denoising, x[:FEW], labels[:FEW])


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
    found: tuple[Tensor, Tensor],
    counts: tuple[int, ...],
    wanted: str = "",
) -> None:
    """Accuracy, and calibration as it is and by a temperature; what is wanted is so of the most digits."""
    calibrated: Any = classifier.calibrated(*known)
    every = calibrated.log_probabilities(found[0])
    for count in counts:
        log_p, labels = every[:count], found[1][:count]
        # with equal prior probabilities a temperature is a power of the probabilities
        plain = (calibrated.temperature * log_p).log_softmax(1)
        right = log_p.argmax(1) == labels
        low, high = binomial_interval(int(right.sum()), count)
        accuracy = float(right.double().mean())
        decides = bool(wanted) and count == max(counts)
        report.row(
            f"{name}: accuracy on {count} digits",
            f"{100 * accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f})",
            wanted if decides else "",
            accuracy >= 0.98 if decides else None,
        )
        errors = [100 * expected_calibration_error(each, labels) for each in (plain, log_p)]
        report.row(
            f"{name}: calibration error without a temperature, and with {calibrated.temperature:.3g}",
            f"{errors[0]:.2f} %, {errors[1]:.2f} %",
        )


def _bits(report: Report, name: str, density: Density, x: Tensor) -> None:
    bits = ig.metrics.bits_per_dimension(density, (255 * x).round().byte(), value_range=(0.0, 1.0))
    report.row(f"{name}: bits per dimension of {len(x)} digits", f"{bits.mean:.3f} ({bits.kind})")


def _attacked(report: Report, name: str, classifier: GenerativeClassifier, x: Tensor, labels: Tensor) -> None:
    """Digits that fool a network, which a generative classifier sees as well."""
    network = ig.metrics.digit_features().classify
    attacked = PGD(0.3)(network, x, labels)
    right = [
        int((found == labels).sum()) for found in (network(attacked).argmax(1), classifier.classify(attacked))
    ]
    report.row(
        f"{len(x)} digits by PGD at 0.3 on digit-features: right by it, and by {name}",
        f"{right[0]}, {right[1]}",
    )
