"""The search for a knob: values that are tried at once, then between the best and its neighbors."""

from __future__ import annotations

import math
from collections.abc import Generator

from invgen.bench.suite import Knob

__all__ = ["at_an_end", "search"]


def search(knob: Knob, trials: int) -> Generator[list[float], list[float], float]:
    """Yield values to try and take how bad each is, infinite where it fails; return the best value.

    Values are equidistant in their logarithm, rounded to four digits so that a run that is resumed asks for
    the same; then the middles between the best and its two neighbors are tried, and again.

    Parameters
    ----------
    knob : Knob
    trials : int
        In the first round, both ends among them.
    """
    ratio = math.log(knob.high / knob.low)
    tried: dict[float, float] = {}
    values = [_rounded(knob.low * math.exp(ratio * i / (trials - 1))) for i in range(trials)]
    for _ in range(3):
        tried |= dict(zip(values, (yield values), strict=True))
        ordered = sorted(tried)
        best = min(ordered, key=lambda value: tried[value])
        place = ordered.index(best)
        near = ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]
        values = [_rounded(math.sqrt(best * other)) for other in near]
    return min(sorted(tried), key=lambda value: tried[value])


def at_an_end(knob: Knob, value: float) -> bool:
    """Whether the best value is the first or the last that was tried: a better one may lie beyond."""
    return value in (_rounded(knob.low), _rounded(knob.high))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
