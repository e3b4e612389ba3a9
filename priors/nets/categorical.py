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
    """A softmax over all levels of each pixel, van den Oord et al. (2016), "Pixel recurrent neural networks".

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

    def sample(self, uniform: Tensor) -> Tensor:
        """Levels from -1 to 1, ``(N, 1, H, W)``, by uniform numbers ``(N, 2, H, W)``."""
        last = self.logits.shape[1] - 1
        return 2 * drawn(self.logits, uniform[:, 1:])[:, None].to(uniform) / last - 1
