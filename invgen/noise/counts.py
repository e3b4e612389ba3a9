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

    def standardized(self, prediction, measurement):
        """``(y - A x) / sqrt(gain A x)``, Pearson's residuals; of at least one quantum."""
        return (measurement - prediction) / (self.gain * prediction.clamp(min=self.gain)).sqrt()

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
    """Photon counts behind an absorber: ``counts ~ Poisson(I0 exp(-A x) + background)``.

    A detector that adds Gaussian noise of variance v to each reading has, to second order, the statistics of
    counts with a background v, once v is added to its readings: Snyder, Hammoud and White (1993), Image
    recovery from data acquired with a charge-coupled-device camera, eq. 6. Readings below zero then keep
    their meaning, where setting them to zero would be a bias.

    Parameters
    ----------
    I0 : tensor that broadcasts to the measurement, not negative, or a positive number
        Expected counts without the object; zero is a dead pixel.
    background : number or tensor, not negative
        Expected counts that do not pass the object: scatter, or the variance of the detector's readings.
    """

    scalable: ClassVar[bool] = False
    exponential: ClassVar[bool] = True

    def __init__(self, I0: Any, background: Any = 0.0) -> None:
        I0 = torch.as_tensor(I0, dtype=torch.float64)
        background = torch.as_tensor(background, dtype=torch.float64)
        if not bool((I0 >= 0).all()) or not bool((I0 > 0).any()) or not bool(torch.isfinite(I0).all()):
            raise ParameterError(
                "I0, the counts without the object, must be positive and finite (zero for a dead pixel)."
            )
        if not bool((background >= 0).all()) or not bool(torch.isfinite(background).all()):
            raise ParameterError("background, a number of counts, must be finite and not negative.")
        self.I0, self.background = Constant(I0), Constant(background)
        self._has_background, self._has_dead = bool(background.any()), not bool((I0 > 0).all())

    def expected(self, prediction: torch.Tensor) -> torch.Tensor:
        """Expected counts behind line integrals."""
        return self._passed(prediction) + self.background.like(prediction)

    def _passed(self, prediction: torch.Tensor) -> torch.Tensor:
        """Those that pass the object."""
        return self.I0.like(prediction) * torch.exp(-prediction)

    @property
    def largest_curvature(self) -> float:
        """``max I0``, where line integrals are not negative."""
        return float(self.I0.value.max())

    def natural(self, prediction):
        """Logarithm of the expected counts, zero for dead pixels."""
        if not self._has_background:  # which does not underflow
            I0 = self.I0.like(prediction)
            return torch.where(I0 > 0, I0, 1).log() - self._alive(prediction)
        return self._alive(self.expected(prediction).log())

    def alike(self, n, measurement):
        """``sqrt(y) n``; less, of readings below one quantum, which then stay positive."""
        return torch.minimum(measurement.sqrt(), measurement) * n

    def nearest_linear(self, measurement):
        """Line integrals by the logarithm of the counts, of no fewer than their standard deviation."""
        I0, b, spread = self.I0.like(measurement), self.background.like(measurement), measurement.clamp(min=1)
        passed = (measurement - b).maximum(spread.sqrt())
        std = torch.where(I0 > 0, spread.sqrt() / passed, torch.inf)
        return self._alive(torch.where(I0 > 0, I0, 1).log() - passed.log()), Gaussian(std)

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw counts."""
        return _poisson(self.expected(prediction), seed)

    def _terms(self, prediction, measurement):
        """``m - y log m`` of the expected counts m; without a background, ``I0 exp(-A x) + y A x``."""
        if not self._has_background:
            return self._alive(self._passed(prediction) + measurement * prediction)
        expected = self.expected(prediction)
        return self._alive(expected - torch.xlogy(measurement, expected))

    def gradient(self, prediction, measurement):
        """``I0 exp(-A x) (y / m - 1)``; without a background, ``y - I0 exp(-A x)``."""
        passed = self._passed(prediction)
        if not self._has_background:
            return self._alive(measurement - passed)
        return self._alive(passed * (measurement / (passed + self.background.like(prediction)) - 1))

    def standardized(self, prediction, measurement):
        """``(y - m) / sqrt(m)`` of the expected counts m, Pearson's residuals; of at least one quantum."""
        expected = self.expected(prediction)
        return self._alive((measurement - expected) / expected.clamp(min=1).sqrt())

    def curvature(self, prediction, measurement):
        """``I0 exp(-A x) (1 - b y / m^2)``, b the background: at most I0 where A x is not negative."""
        passed, b = self._passed(prediction), self.background.like(prediction)
        if not self._has_background:
            return passed
        return self._alive(passed * (1 - b * measurement / (passed + b).square()))

    def _best_terms(self, measurement):
        if self._has_background:  # of expected counts that equal them, if any object left so many
            return self._alive(measurement - torch.xlogy(measurement, measurement))
        # no line integral explains zero counts perfectly; half a count comes closest in the limit
        I0 = self.I0.like(measurement)
        return self._terms(torch.log(torch.where(I0 > 0, I0, 1) / measurement.clamp(min=0.5)), measurement)

    def _alive(self, values: torch.Tensor) -> torch.Tensor:
        """Zero where nothing is counted."""
        alive = self._informative(values)
        return values if alive is None else torch.where(alive, values, 0)

    def _informative(self, measurement: torch.Tensor) -> torch.Tensor | None:
        """Entries that are no dead pixels."""
        if not self._has_dead:
            return None
        return (self.I0.value > 0).to(measurement.device)

    check = Poisson.check


def _poisson(rate: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(rate.detach().cpu(), generator=generator).to(rate)
