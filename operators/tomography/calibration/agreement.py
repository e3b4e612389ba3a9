"""Whether two estimates of one place agree, before an error is stated."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["Estimate", "agreed", "settled"]

_CHANCE = 3.0  # standard errors
_STILL = 0.2  # of the power that a fit leaves unexplained; chance has a tenth of it or less


class Estimate(NamedTuple):
    """A place and its standard error."""

    place: float
    error: float


class _Fit(Protocol):
    @property
    def residual(self) -> float: ...
    @property
    def doubt(self) -> str | None: ...


Fit = TypeVar("Fit", bound=_Fit)


def settled(precise: Fit, robust: Fit) -> Fit:
    """The fit that knows of nothing that stands still, or one with unknowns for that where they explain more.

    Stripes, and the profile of a beam that nothing was divided by, agree with their own mirror images where
    they are most symmetric, and pull the first fit there. A rotationally symmetric object stands still as
    well: it leaves the second in doubt.
    """
    explains = robust.residual**2 < (1 - _STILL) * precise.residual**2
    return robust if explains and robust.doubt is None else precise


def agreed(error: float, first: Estimate, second: Estimate) -> float:
    """Standard error of an estimate from two independent halves, larger where these do not agree."""
    apart = abs(first.place - second.place)
    return max(error, apart / 2) if apart > _CHANCE * math.hypot(first.error, second.error) else error
