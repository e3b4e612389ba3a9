"""Categorical distributions of pixels: a probability for each value, with no order among them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["CategoricalLevels", "drawn"]


def drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """One of the kinds ``(N, H, W)`` at each place, by logits ``(N, kinds, H, W)`` and ``(N, 1, H, W)``."""
    cumulative = torch.softmax(logits, dim=1).cumsum(1)
    return (uniform > cumulative[:, :-1]).sum(1)


@dataclass(frozen=True)
class CategoricalLevels:
    """A softmax over all levels of each pixel, van den Oord et al. (2016a).

    Section 3.3. Of images of one channel: it learns levels that are more frequent than those beside them,
    which no smooth distribution has.

    Attributes
    ----------
    logits : tensor, shape (N, levels, H, W)
    """

    logits: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the probability of each pixel, ``(N, H, W)``.

        `x` has the levels as values from -1 to 1, ``(N, 1, H, W)``.
        """
        last = self.logits.shape[1] - 1
        level = ((x + 1) / 2 * last).round().long()
        return F.log_softmax(self.logits, dim=1).gather(1, level)[:, 0]

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of a density of real numbers, over the width of a level, ``(N, H, W)``.

        Its value is the probability at a level, and linear between two; beyond the ends it falls to zero
        within a level.
        """
        last = self.logits.shape[1] - 1
        place = (x + 1) / 2 * last
        below = place.detach().floor()
        # two levels of no probability beyond each end
        known = F.pad(F.log_softmax(self.logits, dim=1), (0, 0, 0, 0, 2, 2), value=-torch.inf)
        index = (below.long() + 2).clamp(0, last + 3)
        low, high = known.gather(1, index), known.gather(1, index + 1)
        largest = torch.maximum(low, high).detach().clamp(min=torch.finfo(low.dtype).min)
        between = torch.lerp((low - largest).exp(), (high - largest).exp(), place - below)
        return (between.log() + largest)[:, 0]

    def most_probable(self, low: Tensor, high: Tensor) -> Tensor:
        """The most probable level from `low` to `high`, as values from -1 to 1, ``(N, 1, H, W)``.

        Both count levels from zero, ``(N, 1, H, W)``; of equally probable levels the lowest is taken.
        """
        levels = torch.arange(self.logits.shape[1], device=low.device)[None, :, None, None]
        best = self.logits.masked_fill((levels < low) | (levels > high), -torch.inf).argmax(1, keepdim=True)
        return 2 * best.to(self.logits) / (self.logits.shape[1] - 1) - 1

    def sample(self, uniform: Tensor) -> Tensor:
        """Levels from -1 to 1, ``(N, 1, H, W)``, by uniform numbers ``(N, 2, H, W)``."""
        last = self.logits.shape[1] - 1
        return 2 * drawn(self.logits, uniform[:, 1:])[:, None].to(uniform) / last - 1
