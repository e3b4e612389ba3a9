"""The adjoint of finite differences in plain PyTorch, along any axes."""

from __future__ import annotations

import torch

__all__ = ["adjoint"]


def adjoint(y: torch.Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> torch.Tensor:
    """Differences (*batch, directions, *shape) along negative `axes` to (*batch, *shape)."""
    parts = y.unbind(-1 - len(shape))
    x = torch.zeros_like(parts[0])
    for part, axis in zip(parts, axes, strict=True):
        inner = part.narrow(axis, 0, part.shape[axis] - 1)
        x.narrow(axis, 1, inner.shape[axis]).add_(inner)
        x.narrow(axis, 0, inner.shape[axis]).sub_(inner)
    return x
