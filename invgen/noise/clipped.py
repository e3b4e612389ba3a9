"""Gaussian noise in front of a detector with a limited range."""

from __future__ import annotations

import math

import torch

from invgen.core.errors import DataError, DtypeError, ParameterError
from invgen.noise.base import Noise, standard_normal
from invgen.operators.sensing.saturation import check_limits

__all__ = ["Clipped"]

#: From here on (in standard deviations) the curvature's asymptotic series is more exact than its formula.
_FAR = 100.0


class Clipped(Noise):
    """Additive Gaussian noise, then a detector that saturates: ``y = min(max(A x + std * n, low), high)``.

    The censored likelihood of Tobin (1958), Estimation of relationships for limited dependent variables: a
    value between the limits has the density of Gaussian noise, one at a limit the probability of everything
    beyond, ``P(A x + std n > high) = Phi((A x - high) / std)``. It is convex and smooth, with a curvature
    of at most ``1 / std^2``; a saturated pixel says only that there is at least so much light.

    Parameters
    ----------
    std : positive number
        Standard deviation of the noise before it is clipped, in the unit of the measurement.
    low, high : float
        Limits; infinite for none, but not both.

    Raises
    ------
    ParameterError
        If std is not positive and finite, or low is not below high, or both are infinite.
    """

    def __init__(self, std: float, low: float = -math.inf, high: float = math.inf) -> None:
        if not 0 < std < math.inf:
            raise ParameterError(f"Clipped: std must be positive and finite; got {std}.")
        check_limits("Clipped", low, high)
        self.std, self.low, self.high = float(std), float(low), float(high)

    def sample(self, prediction: torch.Tensor, seed: int) -> torch.Tensor:
        """``clip(prediction + std * n)``."""
        self._check_real(prediction)
        return self.expected(prediction + self.std * standard_normal(prediction, seed))

    def expected(self, prediction: torch.Tensor) -> torch.Tensor:
        """The prediction, clipped."""
        return prediction.clamp(self.low, self.high)

    def _terms(self, prediction, measurement):
        """``(A x - y)^2 / (2 std^2)`` within the limits, ``-log Phi`` of what is beyond them at a limit."""
        below, above = self._clipped(measurement)
        t = (prediction - measurement) / self.std
        beyond = -torch.special.log_ndtr(torch.where(above, t, -t))
        return torch.where(below | above, beyond, t.square() / 2)

    def gradient(self, prediction, measurement):
        """``(A x - y) / std^2``; at a limit ``-phi / Phi / std`` towards what is beyond it."""
        below, above = self._clipped(measurement)
        t = (prediction - measurement) / self.std
        slope = torch.where(above, -_hazard(t), torch.where(below, _hazard(-t), t))
        return slope / self.std

    def curvature(self, prediction, measurement):
        """``1 / std^2``; at a limit ``h (h + t) / std^2`` with ``h = phi(t) / Phi(t)``, less than that."""
        below, above = self._clipped(measurement)
        # in double precision, where enough digits are left of the difference h + t
        t = (prediction - measurement).double() / self.std
        t = torch.where(above, t, -t)
        h, far = _hazard(t), t.clamp(max=-_FAR) ** -2
        bent = torch.where(t < -_FAR, 1 - far + 6 * far**2, h * (h + t)).to(prediction.dtype)
        return torch.where(below | above, bent, 1.0) / self.std**2

    @property
    def largest_curvature(self) -> float:
        """``1 / std^2``."""
        return self.std**-2

    def _informative(self, measurement: torch.Tensor) -> torch.Tensor:
        """Entries within the limits: what is well beyond them does not deviate at all."""
        below, above = self._clipped(measurement)
        return ~(below | above)

    def scaled(self, factor: float) -> Clipped:
        """The limits are those of the measurement, and scale with it."""
        return Clipped(self.std * factor, self.low * factor, self.high * factor)

    def check(self, measurement: torch.Tensor) -> None:
        """Nothing real lies beyond the limits."""
        self._check_real(measurement)
        margin = _margin(measurement)
        low, high = self.low - margin * abs(self.low), self.high + margin * abs(self.high)
        if bool((measurement < low).any()) or bool((measurement > high).any()):
            raise DataError(
                f"Data that are clipped to {self.low:g} ... {self.high:g} lie there; these are from "
                f"{float(measurement.min()):g} to {float(measurement.max()):g}. Give the detector's limits."
            )

    def _check_real(self, x: torch.Tensor) -> None:
        if x.is_complex():
            raise DtypeError(f"Clipped noise is of real data; got {x.dtype}.")

    def _clipped(self, measurement: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is at the lower limit, and what at the upper one."""
        margin = _margin(measurement)
        low, high = self.low + margin * abs(self.low), self.high - margin * abs(self.high)
        # infinite limits are never reached
        below = measurement <= low if math.isfinite(low) else torch.zeros_like(measurement, dtype=torch.bool)
        above = measurement >= high if math.isfinite(high) else torch.zeros_like(below)
        return below, above


def _margin(measurement: torch.Tensor) -> float:
    """What rounding makes of a limit, relatively, where data and limits are scaled together."""
    return 4 * torch.finfo(measurement.dtype).eps


def _hazard(t: torch.Tensor) -> torch.Tensor:
    """``phi(t) / Phi(t)``, the slope of ``log Phi``, to rounding for all t."""
    # Phi(t) = exp(-t^2 / 2) erfcx(-t / sqrt 2) / 2: the exponentials cancel
    return math.sqrt(2 / math.pi) / torch.special.erfcx(-t / math.sqrt(2))
