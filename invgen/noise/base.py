"""What a noise model is."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import torch

from invgen.core.errors import CapabilityError
from invgen.core.frozen import Frozen

__all__ = ["Axes", "Noise", "standard_normal"]

Axes = tuple[int, ...]


class Noise(Frozen):
    """Base of the noise models: ``measurement ~ p(. | prediction)``.

    Entries that are not `observed`, of operators that have such (`Operator.observed`), are no data: they add
    nothing to likelihoods, deviances and counts.
    """

    #: Whether the negative log-likelihood is a quadratic of the prediction, so that the data term is one of
    #: least squares.
    quadratic: ClassVar[bool] = False

    #: Whether the log-likelihood is ``<natural(A x), y>`` less a function of A x, with a known `natural`: the
    #: noise is an exponential family, and the risk of an estimate has an unbiased estimate.
    exponential: ClassVar[bool] = False

    #: Whether the level of the noise is known, so that a misfit has an expectation.
    level_known: ClassVar[bool] = True

    #: Whether noise of a multiple of the measurement is of the same model: counts stay counts.
    scalable: ClassVar[bool] = True

    #: Whether all entries are independent, given the prediction.
    independent: bool = True

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw a measurement; the same seed gives the same one on every device."""
        raise NotImplementedError

    def _terms(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of each entry, up to a constant of the measurement."""
        raise NotImplementedError

    def _best_terms(self, measurement: torch.Tensor) -> torch.Tensor | float:
        """What `_terms` are at the prediction that fits the measurement best."""
        return 0.0

    def negative_log_likelihood(
        self,
        prediction: torch.Tensor,
        measurement: torch.Tensor,
        axes: Axes,
        observed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Summed over `axes`, up to a constant of the measurement, shape of the batch."""
        return _total(self._terms(prediction, measurement), axes, observed)

    def gradient(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Derivative of the negative log-likelihood with respect to the prediction."""
        raise NotImplementedError

    def curvature(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Second derivative, entry by entry (for complex data, with respect to each part)."""
        raise NotImplementedError

    def log_likelihood(self, prediction: torch.Tensor, measurement: torch.Tensor, axes: Axes) -> torch.Tensor:
        """Logarithm of the likelihood, up to a constant of the measurement."""
        return -self.negative_log_likelihood(prediction, measurement, axes)

    def deviance(
        self,
        prediction: torch.Tensor,
        measurement: torch.Tensor,
        axes: Axes,
        observed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Twice the log-likelihood ratio to the best fit: about the number of data at the truth."""
        terms = self._terms(prediction, measurement) - self._best_terms(measurement)
        return 2 * _total(terms, axes, observed)

    def count(
        self, measurement: torch.Tensor, axes: Axes, observed: torch.Tensor | None = None
    ) -> torch.Tensor | float:
        """Number of real data, without dead pixels: the expectation of `deviance`."""
        parts = 2.0 if measurement.is_complex() else 1.0
        counted = [which for which in (self._informative(measurement), observed) if which is not None]
        if not counted:
            return math.prod(measurement.shape[-len(axes) :]) * parts
        return functools.reduce(torch.logical_and, counted).expand(measurement.shape).sum(axes) * parts

    def _informative(self, measurement: torch.Tensor) -> torch.Tensor | None:
        """True for entries that depend on the image, None where all do."""
        return None

    def standardized(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Residuals ``y - A x`` of unit variance and uncorrelated at the truth, zero at dead pixels.

        For complex data the real and the imaginary part have unit variance each.
        """
        raise CapabilityError(f"Residuals of {self.name} noise have no known variance.")

    def precision(self, residual: torch.Tensor) -> torch.Tensor:
        """The inverse covariance W, applied to a residual; of models that are `quadratic`."""
        raise CapabilityError(f"{self.name} noise has no weighted backprojection, and no constant Hessian.")

    def color(self, n: torch.Tensor) -> torch.Tensor:
        """Noise of this model, made of white Gaussian noise; of models that are `quadratic`."""
        raise CapabilityError(f"{self.name} noise depends on the image: it is no filtered white noise.")

    def natural(self, prediction: torch.Tensor) -> torch.Tensor:
        """Natural parameter of a prediction; of models that are `exponential`."""
        return self.precision(prediction)

    def alike(self, n: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Noise of the covariance that the measurement's has, made of white noise `n`."""
        return self.color(n)

    def weights(self, axes: Axes) -> torch.Tensor | None:
        """``1 / std^2`` where that is one number for each batch element, else None."""
        return None

    def expected(self, prediction: torch.Tensor) -> torch.Tensor:
        """What would be measured without noise."""
        return prediction

    def prox(self, v: torch.Tensor, measurement: torch.Tensor, step: Any) -> torch.Tensor:
        """``argmin_u -log p(measurement | u) + |u - v|^2 / (2 step)``, of models that have a formula for it.

        `step` is a positive number, or a tensor that broadcasts to `v`.
        """
        raise CapabilityError(
            f"{self.name} noise has unbounded curvature and no closed-form proximal map: "
            "use a method made for it, or describe the data by Gaussian weights."
        )

    @property
    def largest_curvature(self) -> float | None:
        """A bound on `curvature` whatever the measurement, or None where there is none."""
        return None

    def scaled(self, factor: float) -> Noise:
        """The noise of `factor` times the measurement; of models that are `scalable`."""
        raise NotImplementedError

    def scaled_each(self, factors: torch.Tensor) -> Noise:
        """The noise of the measurement times `factors`, one for each batch element, shaped to multiply it."""
        raise CapabilityError(
            "One scale for each batch element needs Gaussian noise with a standard deviation; this is "
            f"{self.name} noise. Give one number, as scale=..., for all."
        )

    def nearest_linear(self, measurement: torch.Tensor) -> tuple[torch.Tensor, Noise] | None:
        """Data and noise of the linear model nearest to this one, whose data term is quadratic; or None.

        Good enough for a first image, and for its scale.
        """
        return None

    def linearized(self, measurement: torch.Tensor) -> Noise:
        """Gaussian noise that weights the data as this model does, where there is one; else the model."""
        return self

    def element(self, index: int, dimensions: int) -> Noise:
        """The noise of one element along the first axis of measurements with that number of `dimensions`."""
        return self

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    def check(self, measurement: torch.Tensor) -> None:
        """Raise where the model cannot have made the measurement."""


def _total(terms: torch.Tensor, axes: Axes, observed: torch.Tensor | None) -> torch.Tensor:
    return (terms if observed is None else torch.where(observed, terms, 0)).sum(axes)


def standard_normal(like: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard normal numbers; for complex data each part has unit variance."""
    generator = torch.Generator().manual_seed(seed)
    n = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return (n * 2**0.5 if like.is_complex() else n).to(like.device)
