"""Counted quanta."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from invgen.core.errors import DataError, ParameterError
from invgen.core.frozen import Constant
from invgen.noise.base import Noise
from invgen.noise.gaussian import Gaussian

__all__ = ["Poisson", "Transmission"]


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

    def _terms(self, prediction, measurement):
        """``(A x - y log A x) / gain``, infinite where a count was seen and none expected."""
        terms = prediction - torch.xlogy(measurement, prediction)
        return torch.where(prediction < 0, torch.inf, terms / self.gain)

    def _best_terms(self, measurement):
        return self._terms(measurement, measurement)

    def gradient(self, prediction, measurement):
        """``(1 - y / A x) / gain``."""
        # no counts where none are expected are no surprise: their ratio is zero
        return (1 - torch.where(measurement > 0, measurement / prediction, 0)) / self.gain

    def curvature(self, prediction, measurement):
        """``y / (A x)^2 / gain``."""
        return torch.where(measurement > 0, measurement / prediction**2, 0) / self.gain

    def prox(self, v, measurement, step):
        """The root that is not negative of ``u^2 - (v - s) u - s y``, with ``s = step / gain``.

        As in Sidky, Jorgensen and Pan (2012), sec. 2.5.
        """
        s = step / self.gain
        b, c = (v - s) / 2, s * measurement
        root = (b * b + c).sqrt()
        # of two numbers that nearly cancel the quotient keeps its digits
        other = torch.where(root > b, c / (root - b), 0)
        return torch.where(b > 0, b + root, other)

    def scaled(self, factor: float) -> Poisson:
        """Scaling the measurement scales the gain."""
        return Poisson(self.gain * factor)

    def linearized(self, measurement: torch.Tensor) -> Gaussian:
        """Gaussian noise whose variance is that of the counts, of at least one quantum."""
        return Gaussian((self.gain * measurement.clamp(min=self.gain)).sqrt())

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

    scalable: ClassVar[bool] = False

    def __init__(self, I0: Any) -> None:
        I0 = torch.as_tensor(I0, dtype=torch.float64)
        if not bool((I0 > 0).all()) or not bool(torch.isfinite(I0).all()):
            raise ParameterError("I0, the counts without the object, must be positive and finite.")
        self.I0 = Constant(I0)

    def expected(self, prediction: torch.Tensor) -> torch.Tensor:
        """Expected counts behind line integrals."""
        return self.I0.like(prediction) * torch.exp(-prediction)

    @property
    def largest_curvature(self) -> float:
        """``max I0``, where line integrals are not negative."""
        return float(self.I0.value.max())

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw counts."""
        return _poisson(self.expected(prediction), seed)

    def _terms(self, prediction, measurement):
        """``I0 exp(-A x) + y A x``."""
        return self.expected(prediction) + measurement * prediction

    def gradient(self, prediction, measurement):
        """``y - I0 exp(-A x)``."""
        return measurement - self.expected(prediction)

    def curvature(self, prediction, measurement):
        """``I0 exp(-A x)``, at most I0 where line integrals are not negative."""
        return self.expected(prediction)

    def _best_terms(self, measurement):
        # no line integral explains zero counts perfectly; half a count comes closest in the limit
        return self._terms(torch.log(self.I0.like(measurement) / measurement.clamp(min=0.5)), measurement)

    check = Poisson.check


def _poisson(rate: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(rate.detach().cpu(), generator=generator).to(rate)
