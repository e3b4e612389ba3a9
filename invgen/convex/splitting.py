"""What the methods share that split an objective ``f(x) + sum g_i(K_i x)``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch

from invgen.operators import Identity, LinearOperator

__all__ = ["constrained", "joint_norm", "ratio_of", "total"]


def total(images: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of at least one image."""
    return reduce(torch.add, images)


def joint_norm(maps: list[LinearOperator], parts: list[torch.Tensor]) -> torch.Tensor:
    """Norm of all parts together, each in the range of its map; shape of the batch."""
    return total(K.range.norm(part).square() for K, part in zip(maps, parts, strict=True)).sqrt()


def ratio_of(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a / b`` of norms; zero over zero is zero."""
    return a / b.clamp(min=torch.finfo(b.dtype).tiny)


def constrained(x: torch.Tensor, terms: Iterable[tuple[LinearOperator, Any]]) -> torch.Tensor:
    """An iterate, projected onto the constraints on the image itself, which it meets only in the limit."""
    for K, g in terms:
        if isinstance(K, Identity) and g.is_constraint:
            x = g.prox(x, 1.0)
    return x
