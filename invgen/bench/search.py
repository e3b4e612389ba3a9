"""The search for a knob: values that are tried at once, then between the best and its neighbors."""

from __future__ import annotations

import math
from collections.abc import Generator

from invgen.bench.suite import Knob

__all__ = ["search"]


def search(knob: Knob, trials: int, rounds: int) -> Generator[list[float], list[float], float]:
    """Yield values to try and take how bad each is, infinite where it fails; return the best value.

    Values are equidistant in their logarithm, rounded to four digits so that a run that is resumed asks for
    the same; then, in each of the further rounds, the middles between the best and its two neighbors are
    tried, or where it has none on one side, a value as far beyond it as the first ones are apart, unless
    there is nothing beyond.

    Parameters
    ----------
    knob : Knob
    trials : int
        Values in the first round, both ends among them.
    rounds : int
        Further ones, of two values each at most.
    """
    step = (knob.high / knob.low) ** (1 / (trials - 1))
    values = [_rounded(knob.low * step**i) for i in range(trials)]
    tried = dict(zip(values, (yield values), strict=True))
    for _ in range(rounds):
        ordered = sorted(tried)
        best = min(ordered, key=lambda value: tried[value])
        place = ordered.index(best)
        near = ordered[max(place - 1, 0) : place] + ordered[place + 1 : place + 2]
        values = [_rounded(math.sqrt(best * other)) for other in near]
        if len(near) == 1 and not knob.is_bounded:
            values.append(_rounded(best * step if best == ordered[-1] else best / step))
        tried |= dict(zip(values, (yield values), strict=True))
    return min(sorted(tried), key=lambda value: tried[value])


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
