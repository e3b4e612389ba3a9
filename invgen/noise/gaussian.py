"""Additive Gaussian noise, of a level that is known or not."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from invgen.core.covariance import covariance_factor
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.noise.base import Axes, Noise, standard_normal

__all__ = ["Gaussian", "Unknown"]


class Gaussian(Noise):
    """Additive Gaussian noise of known level.

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

    quadratic: ClassVar[bool] = True
    exponential: ClassVar[bool] = True

    def __init__(self, std: Any = None, *, covariance: Any = None, axis: int = -1) -> None:
        if (std is None) == (covariance is None):
            raise ParameterError("Gaussian takes either std or covariance.")
        self.std: Constant | None = None
        if std is not None:
            # NumPy keeps what PyTorch would round: a number of Python in double precision
            std = std if isinstance(std, torch.Tensor) else torch.as_tensor(np.asarray(std))
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
            factor = covariance_factor(covariance)
            self._factor = Constant(factor)
            self._whitener = Constant(
                torch.linalg.solve_triangular(factor, torch.eye(len(factor)).to(factor), upper=False)
            )
            self._inverse = Constant(torch.cholesky_inverse(factor))
        self._axis = axis
        self.independent = self.std is not None

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """``prediction + std * n``; a dead pixel keeps its noiseless value."""
        return prediction + self.color(standard_normal(prediction, seed))

    def color(self, n: torch.Tensor) -> torch.Tensor:
        """Noise of this covariance, made of white noise of unit variance; zero at a dead pixel."""
        if self.std is None:
            return self._along_axis(self._factor, n)
        std = self.std.like(n)
        return torch.where(torch.isfinite(std), std, 0) * n

    def standardized(self, prediction: torch.Tensor, measurement: torch.Tensor) -> torch.Tensor:
        """``(y - A x) / std``; with a covariance ``L L.H``, ``inv(L) (y - A x)``."""
        residual = measurement - prediction
        if self.std is None:
            return self._along_axis(self._whitener, residual)
        return residual / self.std.like(residual)

    def precision(self, residual: torch.Tensor) -> torch.Tensor:
        """The inverse covariance, applied to a residual."""
        if self.std is None:
            return self._along_axis(self._inverse, residual)
        return self._weights.like(residual) * residual

    def weights(self, axes: Axes) -> torch.Tensor | None:
        """``1 / std^2`` where that is one number for each batch element, else None."""
        if self.std is None or any(n != 1 for n in self._weights.value.shape[-len(axes) :]):
            return None
        w = self._weights.value
        return w.reshape(w.shape[: max(0, w.ndim - len(axes))])

    @cached_property
    def largest_curvature(self) -> float:
        """Largest ``1 / std^2``, or eigenvalue of the inverse covariance."""
        if self.std is not None:
            return float(self._weights.value.max())
        return float(torch.linalg.eigvalsh(self._inverse.value).max())

    def _informative(self, measurement: torch.Tensor) -> torch.Tensor | None:
        """Entries of finite standard deviation."""
        if self.std is None or bool(torch.isfinite(self.std.value).all()):
            return None
        return torch.isfinite(self.std.value).to(measurement.device)

    def _terms(self, prediction, measurement):
        """``|A x - y|^2 / (2 std^2)``."""
        residual = prediction - measurement
        return (residual.conj() * self.precision(residual)).real / 2

    def gradient(self, prediction, measurement):
        """``(A x - y) / std^2``."""
        return self.precision(prediction - measurement)

    def curvature(self, prediction, measurement):
        """``1 / std^2``; with a covariance its inverse's diagonal."""
        if self.std is None:
            w = self._inverse.like(prediction).diagonal().real
            return w.reshape(-1, *(1,) * (-1 - self._axis)).expand(prediction.shape)
        return self._weights.like(prediction).expand(prediction.shape)

    def scaled(self, factor: float) -> Gaussian:
        """Noise of `factor` times the measurement."""
        if self.std is not None:
            return Gaussian(self.std.value.double() * abs(factor))
        L = self._factor.value
        return Gaussian(covariance=abs(factor) ** 2 * (L @ L.mH), axis=self._axis)

    def scaled_each(self, factors: torch.Tensor) -> Gaussian:
        """Noise of the measurement times `factors`; a covariance is one for all."""
        if self.std is None:
            return super().scaled_each(factors)  # type: ignore[return-value]
        return Gaussian(self.std.value.to(factors.device).double() * factors)

    def element(self, index: int, dimensions: int) -> Gaussian:
        """The noise of one element, whose standard deviation may be its own."""
        if self.std is None or self.std.value.ndim < dimensions:
            return self
        return Gaussian(self.std.value[index])

    def check(self, measurement: torch.Tensor) -> None:
        """The standard deviation broadcasts to the measurement; a covariance has the size of its axis."""
        if self.std is None:
            return self._check_axis(measurement)
        try:
            fits = torch.broadcast_shapes(self.std.value.shape, measurement.shape) == measurement.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ShapeError(
                f"std {tuple(self.std.value.shape)} does not fit the measurement {tuple(measurement.shape)}."
            )

    def _check_axis(self, x: torch.Tensor) -> None:
        k = len(self._factor.value)
        if self._factor.value.is_complex() and not x.is_complex():
            raise DtypeError(f"A complex covariance couples complex data; got {x.dtype}.")
        if x.ndim < -self._axis or x.shape[self._axis] != k:
            raise ShapeError(
                f"The covariance couples {k} entries of axis {self._axis}; got {tuple(x.shape)}."
            )

    def _along_axis(self, matrix: Constant, x: torch.Tensor) -> torch.Tensor:
        self._check_axis(x)
        m = matrix.like(x).mT.to(x.dtype)
        return torch.movedim(torch.movedim(x, self._axis, -1) @ m, -1, self._axis)


class Unknown(Gaussian):
    """Gaussian noise of unknown level, where a problem has none: the data term is ``|A x - y|^2 / 2``."""

    level_known: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__(1.0)

    def precision(self, residual: torch.Tensor) -> torch.Tensor:
        """The residual itself."""
        return residual

    def scaled(self, factor: float) -> Unknown:
        """As unknown as before."""
        return self

    def scaled_each(self, factors: torch.Tensor) -> Unknown:
        """As unknown as before."""
        return self

    def linearized(self, measurement: torch.Tensor) -> Gaussian:
        """Of level one."""
        return Gaussian(1.0)
