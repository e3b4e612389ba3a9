"""Whether probabilities of classes are frequencies, and a temperature that makes them so."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.plausibility.inputs import checked_labels

__all__ = ["Reliability", "expected_calibration_error", "fitted_temperature", "reliability"]

#: Temperatures that are tried lie between these powers of ten; the interval shrinks by this many steps.
_POWERS, _STEPS = (-3.0, 5.0), 60


class Reliability(NamedTuple):
    """Images by the confidence of their classification, the probability of the most probable class.

    Attributes
    ----------
    counts : int64 tensor, shape (bins,)
        Images with a confidence in each bin; bins are equally wide, from zero to one.
    confidence, accuracy : float64 tensor, shape (bins,)
        Mean confidence of these images, and the part of them that is classified as what they are; zero in
        empty bins.
    """

    counts: Tensor
    confidence: Tensor
    accuracy: Tensor


def reliability(log_probabilities: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Confidence and accuracy by bins, Guo et al. (2017), section 2.

    Parameters
    ----------
    log_probabilities : real tensor, shape (N, classes)
    labels : integer tensor, shape (N,)
    bins : int

    Raises
    ------
    DtypeError, ShapeError, DataError
    """
    log_p, labels = _checked(log_probabilities, labels, "reliability")
    bins = as_count(bins, "bins")
    confidence, found = log_p.exp().max(1)
    # a bin has its upper end, as in the paper
    place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    counts = place.bincount(minlength=bins)

    def mean(values: Tensor) -> Tensor:
        return place.bincount(values.double(), minlength=bins) / counts.clamp(min=1)

    return Reliability(counts, mean(confidence), mean(found == labels))


def expected_calibration_error(log_probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy, Guo et al. (2017), eq. 3; see `reliability`."""
    counts, confidence, accuracy = reliability(log_probabilities, labels, bins)
    return float((counts * (confidence - accuracy).abs()).sum() / counts.sum())


def fitted_temperature(log_likelihoods: Tensor, labels: Tensor, log_prior: Tensor) -> float:
    """The T under which the labels are most probable, of ``p(class | x) ~ p(class) p(x | class)^(1 / T)``.

    Temperature scaling, Guo et al. (2017), section 4.2; the prior probabilities of the classes stay. The
    logarithm of the likelihood is concave in 1 / T, so that its maximum is found by golden sections.

    Parameters
    ----------
    log_likelihoods : real tensor, shape (N, classes)
    labels : integer tensor, shape (N,)
        Of images that the figures are not of.
    log_prior : tensor, shape (classes,)

    Raises
    ------
    DtypeError, ShapeError, DataError
        Also where all images are classified right, of which there is no best temperature.
    """
    scores, labels = _checked(log_likelihoods, labels, "fitted_temperature")
    log_prior = log_prior.double().cpu()

    def loss(power: float) -> float:
        log_p = (scores / 10**power + log_prior).log_softmax(1)
        return float(-log_p.gather(1, labels[:, None]).sum())

    (low, high), golden = _POWERS, (5**0.5 - 1) / 2
    for _ in range(_STEPS):
        first, second = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, second) if loss(first) <= loss(second) else (first, high)
    if low == _POWERS[0]:
        raise DataError(
            "All of these images are classified right, so that no temperature is low enough: give more "
            "images, among them some that are not."
        )
    return float(10 ** ((low + high) / 2))


def _checked(scores: Tensor, labels: Tensor, who: str) -> tuple[Tensor, Tensor]:
    """Numbers of each class in double precision on the CPU, and the labels."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        found = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
        raise DtypeError(f"{who} expects real numbers, one for each class; got {found}.")
    if scores.ndim != 2 or not scores.numel():
        raise ShapeError(
            f"{who} expects numbers (N, classes) of at least one image; got {tuple(scores.shape)}."
        )
    if bool(scores.isnan().any()) or bool((scores == torch.inf).any()):
        raise DataError(f"{who}: a number is NaN or infinite.")
    scores = scores.detach().double().cpu()
    return scores, checked_labels(labels, len(scores), scores.shape[1], who).cpu()
