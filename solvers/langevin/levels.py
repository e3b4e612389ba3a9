"""Noise levels that are dense where few of the directions of an image still move."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["denser_levels"]


def denser_levels(count: int, last: Tensor, first: float, power: float, factor: float) -> list[Tensor]:
    """Noise levels from `first` to `last`, of which most are low.

    They are equal steps of ``sigma^power``, which is negative, plus a multiple of ``-log(sigma)``, so large
    that with it alone no level would be more than `factor` times the next, where so many levels allow it.
    """
    ends = math.log(first), last.log()
    share = ((ends[0] - ends[1]) / ((count - 1) * math.log(factor))).clamp(max=1)

    def way(log_sigma: Tensor) -> Tensor:
        equal = (log_sigma - ends[0]) / (ends[1] - ends[0])
        dense = ((power * log_sigma).exp() - first**power) / (last**power - first**power)
        return share * equal + (1 - share) * dense

    wanted = torch.linspace(0, 1, count, dtype=last.dtype, device=last.device).reshape(-1, *(1,) * last.ndim)
    high, low = (0 * wanted + end for end in ends)
    for _ in range(60):  # halves the interval, beyond double precision
        middle = (high + low) / 2
        above = way(middle) < wanted
        high, low = torch.where(above, middle, high), torch.where(above, low, middle)
    return list(((high + low) / 2).exp())
