"""Discretized logistics: probabilities of equidistant levels, alone and in mixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LogisticMixture", "cell_log_prob", "level_log_prob"]

#: Least logarithm of a scale, in units in which levels go from -1 to 1: far below the distance of 256 levels.
_LEAST = -7.0


def level_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Logarithm of the probability of each level under a logistic distribution.

    Salimans et al. (2017), "PixelCNN++", eq. 2: the distribution function across the cell of the level; the
    first and the last cell go on to infinity, so that the probabilities of all levels sum to one.

    Parameters
    ----------
    x : tensor
        Levels as values from -1 to 1, ``2 k / (levels - 1) - 1``.
    mean, log_scale : tensor
        They broadcast to x.
    levels : int
    """
    half = 1 / (levels - 1)
    below, beyond, between = _cell(x, mean, log_scale, half)
    return torch.where(x < half - 1, below, torch.where(x > 1 - half, beyond, between))


def cell_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """The same for real numbers: of a cell of a level's width around each, wherever it is.

    Over that width, it is a density of real numbers with a derivative: that of a level of which nothing was
    cut off, and to which uniform noise of a level's width was added.
    """
    return _cell(x, mean, log_scale, 1 / (levels - 1))[2]


def _cell(x: Tensor, mean: Tensor, log_scale: Tensor, half: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of the probabilities below the upper edge, beyond the lower one, and between both."""
    inverse = torch.exp(-log_scale.clamp(min=_LEAST))
    upper, lower = (x + half - mean) * inverse, (x - half - mean) * inverse
    below, beyond = F.logsigmoid(upper), F.logsigmoid(-lower)
    # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), exact in the tails as well
    return below, beyond, below + beyond + torch.log(-torch.expm1(-2 * half * inverse))


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of discretized logistics at each pixel, Salimans et al. (2017), sec. 2.1 and 2.2.

    The means of a channel are linear in the channels before it, so that one set of weights serves all.

    Attributes
    ----------
    logits : tensor, shape (N, mixtures, H, W)
    means, log_scales : tensor, shape (N, mixtures, C, H, W)
    slopes : tensor, shape (N, mixtures, C (C - 1) / 2, H, W)
        Of each mean along the channels before its own.
    levels : int
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    slopes: Tensor
    levels: int

    @staticmethod
    def numbers(channels: int, mixtures: int) -> int:
        """Numbers for each pixel, from which `of` builds the mixture."""
        return mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    @classmethod
    def of(cls, outputs: Tensor, channels: int, mixtures: int, levels: int) -> Self:
        """The mixtures of a network's outputs ``(N, numbers, H, W)``."""
        split = [mixtures * n for n in (1, channels, channels, channels * (channels - 1) // 2)]
        logits, means, log_scales, slopes = outputs.split(split, dim=1)
        each = (outputs.shape[0], mixtures, -1, *outputs.shape[-2:])
        shape = (outputs.shape[0], mixtures, split[3] // mixtures, *outputs.shape[-2:])
        return cls(
            logits, means.reshape(each), log_scales.reshape(each), torch.tanh(slopes.reshape(shape)), levels
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the probability of each pixel, all channels together: ``(N, H, W)``.

        `x` has the levels as values from -1 to 1, ``(N, C, H, W)``.
        """
        return self._mixed(x, level_log_prob)

    def log_density(self, x: Tensor) -> Tensor:
        """The same of real numbers, by `cell_log_prob`: a density over the width of a level."""
        return self._mixed(x, cell_log_prob)

    def _mixed(self, x: Tensor, log_prob: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> Tensor:
        means = torch.stack([self.mean(c, x) for c in range(x.shape[1])], dim=2)
        each = log_prob(x[:, None], means, self.log_scales, self.levels).sum(2)
        return torch.logsumexp(F.log_softmax(self.logits, dim=1) + each, dim=1)

    def most_probable(self, low: Tensor, high: Tensor) -> Tensor:
        """The most probable levels from `low` to `high`, as values from -1 to 1, ``(N, C, H, W)``.

        Each channel given those before it. Both bounds count levels from zero, ``(N, C, H, W)``; of equally
        probable levels the lowest is taken.
        """
        levels = torch.arange(self.levels, device=low.device)[:, None, None]
        values = 2 * levels.to(self.logits) / (self.levels - 1) - 1
        x = torch.zeros_like(low, dtype=self.logits.dtype)
        weights = F.log_softmax(self.logits, dim=1)
        for c in range(x.shape[1]):
            mean, log_scale = self.mean(c, x)[:, :, None], self.log_scales[:, :, None, c]
            each = level_log_prob(values, mean, log_scale, self.levels)
            beyond = (levels < low[:, None, c]) | (levels > high[:, None, c])
            found = torch.logsumexp(weights[:, :, None] + each, dim=1).masked_fill(beyond, -torch.inf)
            best = found.argmax(1, keepdim=True)
            x[:, c] = 2 * best[:, 0].to(x) / (self.levels - 1) - 1
            # how probable each component is, given this channel
            weights = weights + each.gather(2, best[:, None].expand(-1, each.shape[1], -1, -1, -1))[:, :, 0]
        return x

    def sample(self, uniform: Tensor) -> Tensor:
        """Levels as values from -1 to 1, ``(N, C, H, W)``, by uniform numbers ``(N, 1 + C, H, W)``."""
        cumulative = torch.softmax(self.logits, dim=1).cumsum(1)
        chosen = (uniform[:, :1] > cumulative[:, :-1]).sum(1, keepdim=True)
        x = torch.zeros_like(uniform[:, 1:])
        for c in range(x.shape[1]):
            mean, log_scale = (t.gather(1, chosen)[:, 0] for t in (self.mean(c, x), self.log_scales[:, :, c]))
            u = uniform[:, 1 + c].clamp(1e-7, 1 - 1e-7)
            value = mean + log_scale.clamp(min=_LEAST).exp() * (u.log() - (-u).log1p())
            last = self.levels - 1
            x[:, c] = 2 * ((value + 1) / 2 * last).round().clamp(0, last) / last - 1
        return x

    def mean(self, channel: int, x: Tensor) -> Tensor:
        """Means of a channel, ``(N, mixtures, H, W)``, given those before it in images ``(N, C, H, W)``."""
        first = channel * (channel - 1) // 2
        slopes = self.slopes[:, :, first : first + channel]
        return self.means[:, :, channel] + (slopes * x[:, None, :channel]).sum(2)
