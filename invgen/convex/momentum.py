"""Nesterov's momentum, as accelerated proximal gradients have it."""

from __future__ import annotations

from typing import TypeVar

import torch

__all__ = ["momentum"]

_Number = TypeVar("_Number", float, torch.Tensor)


def momentum(t: _Number) -> tuple[_Number, _Number]:
    """The next t, and how far to go beyond the new iterate, in units of the last move.

    Beck and Teboulle (2009), eqs. 4.2 and 4.3: ``t' = (1 + sqrt(1 + 4 t^2)) / 2`` and ``(t - 1) / t'``.
    """
    t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
    return t_new, (t - 1) / t_new
