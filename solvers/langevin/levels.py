"""Noise levels that are dense where few of the directions of an image still move."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["denser_levels"]


def denser_levels(count: int, last: Tensor, first: float, power: float, coarse_above: float) -> list[Tensor]:
    """Noise levels from `first` to `last`, of which most are low.

    Above `coarse_above` they fall by equal factors of at most two, if that takes no more than a third of all
    levels. The others are equal steps of ``sigma^power``: geometric for zero, denser as they fall below.
    """
    coarse = math.ceil(math.log2(max(first / coarse_above, 1.0)))
    if coarse > count // 3:
        coarse = 0
    knee = coarse_above if coarse else first
    above = [torch.full_like(last, first * (knee / first) ** (k / coarse)) for k in range(coarse)]
    parts = [k / (count - coarse - 1) for k in range(count - coarse)]
    if power == 0:
        ends = torch.full_like(last, math.log(knee)), last.log()
        return above + [torch.lerp(*ends, part).exp() for part in parts]
    ends = torch.full_like(last, knee**power), last**power
    return above + [torch.lerp(*ends, part) ** (1 / power) for part in parts]
