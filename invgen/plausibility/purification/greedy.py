"""PixelDefend: pixel by pixel the most probable level within a ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.plausibility.purification.base import Ball
from invgen.priors.base import Sequential

__all__ = ["GreedyPurification"]


@dataclass(frozen=True)
class GreedyPurification(Ball):
    """Greedy decoding within a ball: Song et al. (2018), "PixelDefend", algorithm 1.

    Each pixel, in the order of the prior, becomes its most probable level within `eps` of what it was, given
    the purified pixels before it. It needs no iterations and nothing random, and finds no maximum: later
    pixels have no say in earlier ones.

    Parameters
    ----------
    prior : Sequential
        `Autoregressive` or `ContextTable`.
    eps : positive number
        In the unit of the images. Where the ball of a pixel holds no level, half of the distance of two
        levels being enough, DataError is raised.
    """

    prior: Sequential

    protocols: ClassVar[tuple[type, ...]] = (Sequential,)

    def _purified(self, x: Tensor, seed: int) -> Tensor:
        return self.prior.most_probable(*self._bounds(x))
