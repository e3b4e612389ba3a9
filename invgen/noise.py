"""Noise models: what is random about a measurement, given the noiseless prediction ``A x``.

Each model samples, and gives the negative log-likelihood with its gradient and curvature with respect to
the prediction. Measurements carry any leading batch axes; an `axes` argument names a measurement's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators.frozen import Constant, Frozen

__all__ = ["Gaussian", "Noise", "Poisson", "Transmission"]

Axes = tuple[int, ...]


class Noise(Frozen):
    """Base of the noise models: ``measurement ~ p(. | prediction)``."""

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw a measurement; the same seed gives the same one on every device."""
        raise NotImplementedError

    def negative_log_likelihood(
        self, prediction: torch.Tensor, measurement: torch.Tensor, axes: Axes
    ) -> torch.Tensor:
        """Summed over `axes`, up to a constant of the measurement, shape of the batch."""
        raise NotImplementedError

    def gradient(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Derivative of the negative log-likelihood with respect to the prediction."""
        raise NotImplementedError

    def curvature(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """Second derivative, entry by entry (for complex data, with respect to each part)."""
        raise NotImplementedError

    def log_likelihood(self, prediction: torch.Tensor, measurement: torch.Tensor, axes: Axes) -> torch.Tensor:
        """Logarithm of the likelihood, up to a constant of the measurement."""
        return -self.negative_log_likelihood(prediction, measurement, axes)

    def deviance(self, prediction: torch.Tensor, measurement: torch.Tensor, axes: Axes) -> torch.Tensor:
        """Twice the log-likelihood ratio to a perfect fit: about the number of data at the truth."""
        perfect = self.negative_log_likelihood(self._perfect(measurement), measurement, axes)
        return 2 * (self.negative_log_likelihood(prediction, measurement, axes) - perfect)

    def count(self, measurement: torch.Tensor, axes: Axes) -> torch.Tensor | float:
        """How many real numbers were measured, dead pixels not counted: what to expect of `deviance`."""
        entries = math.prod(measurement.shape[-len(axes) :])
        return float(entries * (2 if measurement.is_complex() else 1))

    def _perfect(self, measurement: torch.Tensor) -> torch.Tensor:
        return measurement

    def scaled(self, factor: float) -> Noise:
        """The noise of `factor` times the measurement."""
        raise NotImplementedError

    def check(self, measurement: torch.Tensor) -> None:
        """Raise where the model cannot have made the measurement."""


class Gaussian(Noise):
    """Additive normal noise of known level.

    Parameters
    ----------
    std : positive number, or tensor that broadcasts to the measurement
        Standard deviation, for complex data that of the real and of the imaginary part. An infinite entry
        is a dead pixel, of weight zero.
    covariance : Hermitian positive definite tensor (k, k), optional
        Instead of `std`: couples the k entries along `axis`, such as receiver coils; ``std^2`` times the
        identity is independent noise (for complex data, ``E[n n.H] / 2``).
    axis : int
        Axis of the measurement that `covariance` couples, counted from the end.
    """

    def __init__(self, std: Any = None, *, covariance: Any = None, axis: int = -1) -> None:
        if (std is None) == (covariance is None):
            raise ParameterError("Gaussian takes either std or covariance.")
        self.std: Constant | None = None
        if std is not None:
            std = torch.as_tensor(std)
            if std.is_complex() or std.dtype == torch.bool:
                raise DtypeError(f"std is real; got {std.dtype}.")
            std = std if std.is_floating_point() and std.ndim else std.double()
            if not bool((std > 0).all()):
                raise ParameterError(
                    "std must be positive (infinite for a dead pixel); for no noise use noise=None."
                )
            self.std = Constant(std)
            self._weights = Constant(std.double() ** -2)
        else:
            if axis >= 0:
                raise ParameterError("axis is counted from the end, and negative.")
            covariance = torch.as_tensor(covariance)
            if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
                raise ShapeError(f"covariance is a square matrix; got the shape {tuple(covariance.shape)}.")
            factor, info = torch.linalg.cholesky_ex(
                covariance.to(torch.promote_types(covariance.dtype, torch.float64))
            )
            if info or not torch.allclose(covariance, covariance.mH):
                raise ParameterError("covariance must be Hermitian and positive definite.")
            self._factor = Constant(factor)
            self._precision = Constant(torch.cholesky_inverse(factor))
        self._axis = axis

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """``prediction + std * n``; a dead pixel keeps its noiseless value."""
        n = _normal(prediction, seed)
        if self.std is None:
            return prediction + self._along_axis(self._factor, n)
        std = self.std.like(prediction)
        return prediction + torch.where(torch.isfinite(std), std, 0) * n

    def whiten(self, residual: torch.Tensor) -> torch.Tensor:
        """Apply the inverse covariance to a residual."""
        if self.std is None:
            return self._along_axis(self._precision, residual)
        return self._weights.like(residual) * residual

    def weights(self, axes: Axes) -> torch.Tensor | None:
        """``1 / std^2`` where that is one number for each batch element, else None."""
        if self.std is None or any(n != 1 for n in self._weights.value.shape[-len(axes) :]):
            return None
        w = self._weights.value
        return w.reshape(w.shape[: max(0, w.ndim - len(axes))])

    def diagonal(self) -> torch.Tensor | None:
        """``1 / std^2`` as it broadcasts to the measurement, or None with a covariance."""
        return None if self.std is None else self._weights.value

    def count(self, measurement: torch.Tensor, axes: Axes) -> torch.Tensor | float:
        """Entries of finite standard deviation."""
        if self.std is None or bool(torch.isfinite(self.std.value).all()):
            return super().count(measurement, axes)
        alive = torch.isfinite(self.std.value).to(measurement.device).expand(measurement.shape)
        return alive.sum(axes) * (2.0 if measurement.is_complex() else 1.0)

    def negative_log_likelihood(self, prediction, measurement, axes):
        """``|A x - y|^2 / (2 std^2)``."""
        residual = prediction - measurement
        return (residual.conj() * self.whiten(residual)).real.sum(axes) / 2

    def gradient(self, prediction, measurement):
        """``(A x - y) / std^2``."""
        return self.whiten(prediction - measurement)

    def curvature(self, prediction, measurement):
        """``1 / std^2``; with a covariance its inverse's diagonal."""
        if self.std is None:
            w = self._precision.like(prediction).diagonal().real
            return w.reshape(-1, *(1,) * (-1 - self._axis)).expand(prediction.shape)
        return self._weights.like(prediction).expand(prediction.shape)

    def scaled(self, factor: float) -> Gaussian:
        """Noise of `factor` times the measurement."""
        if self.std is not None:
            return Gaussian(self.std.value.double() * abs(factor))
        L = self._factor.value
        return Gaussian(covariance=abs(factor) ** 2 * (L @ L.mH), axis=self._axis)

    def check(self, measurement: torch.Tensor) -> None:
        """A covariance has as many rows as it couples entries."""
        if self.std is None:
            self._check_axis(measurement)

    def _check_axis(self, x: torch.Tensor) -> None:
        k = len(self._factor.value)
        if x.ndim < -self._axis or x.shape[self._axis] != k:
            raise ShapeError(
                f"The covariance couples {k} entries of axis {self._axis}; got {tuple(x.shape)}."
            )

    def _along_axis(self, matrix: Constant, x: torch.Tensor) -> torch.Tensor:
        self._check_axis(x)
        m = matrix.like(x)
        return torch.movedim(torch.movedim(x, self._axis, -1) @ m.mT.to(x.dtype), -1, self._axis)


class Poisson(Noise):
    """Counting noise of a quantity that is never negative: ``y = gain * Poisson(A x / gain)``.

    Parameters
    ----------
    gain : positive number
        Measured units for each counted quantum.
    """

    def __init__(self, gain: float = 1.0) -> None:
        if not gain > 0:
            raise ParameterError(f"gain must be positive; got {gain}.")
        self.gain = float(gain)

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw counts; raises `DataError` for a negative prediction."""
        if bool((prediction < 0).any()):
            raise DataError("Poisson noise needs a prediction that is not negative.")
        return self.gain * _poisson(prediction / self.gain, seed)

    def negative_log_likelihood(self, prediction, measurement, axes):
        """``(A x - y log A x) / gain``, infinite where a count was seen and none expected."""
        terms = prediction - torch.xlogy(measurement, prediction)
        return torch.where(prediction < 0, torch.inf, terms / self.gain).sum(axes)

    def gradient(self, prediction, measurement):
        """``(1 - y / A x) / gain``."""
        # no counts where none are expected are no surprise: their ratio is zero
        return (1 - torch.where(measurement > 0, measurement / prediction, 0)) / self.gain

    def curvature(self, prediction, measurement):
        """``y / (A x)^2 / gain``."""
        return torch.where(measurement > 0, measurement / prediction**2, 0) / self.gain

    def scaled(self, factor: float) -> Poisson:
        """Scaling the measurement scales the gain."""
        return Poisson(self.gain * factor)

    def check(self, measurement: torch.Tensor) -> None:
        """Counts are not negative."""
        if bool((measurement < 0).any()):
            raise DataError(
                f"Poisson data are never negative; the smallest of these is {float(measurement.min()):g}."
            )


class Transmission(Noise):
    """Photon counts behind an absorber: ``counts ~ Poisson(I0 exp(-A x))``.

    Parameters
    ----------
    I0 : positive number, or tensor that broadcasts to the measurement
        Expected counts without the object.
    """

    def __init__(self, I0: Any) -> None:
        I0 = torch.as_tensor(I0, dtype=torch.float64)
        if not bool((I0 > 0).all()) or not bool(torch.isfinite(I0).all()):
            raise ParameterError("I0, the counts without the object, must be positive and finite.")
        self.I0 = Constant(I0)

    def expected(self, prediction: torch.Tensor) -> torch.Tensor:
        """Expected counts behind line integrals."""
        return self.I0.like(prediction) * torch.exp(-prediction)

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw counts."""
        return _poisson(self.expected(prediction), seed)

    def negative_log_likelihood(self, prediction, measurement, axes):
        """``I0 exp(-A x) + y A x``."""
        return (self.expected(prediction) + measurement * prediction).sum(axes)

    def gradient(self, prediction, measurement):
        """``y - I0 exp(-A x)``."""
        return measurement - self.expected(prediction)

    def curvature(self, prediction, measurement):
        """``I0 exp(-A x)``, at most I0 where line integrals are not negative."""
        return self.expected(prediction)

    def _perfect(self, measurement: torch.Tensor) -> torch.Tensor:
        # no line integral explains zero counts perfectly; half a count comes closest in the limit
        return torch.log(self.I0.like(measurement) / measurement.clamp(min=0.5))

    check = Poisson.check


def _normal(like: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard normal numbers; for complex data each part has unit variance."""
    generator = torch.Generator().manual_seed(seed)
    n = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return (n * 2**0.5 if like.is_complex() else n).to(like.device)


def _poisson(rate: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(rate.detach().cpu(), generator=generator).to(rate)
