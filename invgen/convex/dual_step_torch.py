"""The dual step of total variation in plain PyTorch."""

from __future__ import annotations

import torch

__all__ = ["dual_step"]


def dual_step(
    y: torch.Tensor,
    x: torch.Tensor,
    shape: tuple[int, ...],
    step: torch.Tensor,
    weight: torch.Tensor,
    isotropic: bool,
) -> torch.Tensor:
    """The projection of ``y + step * gradient(x)`` onto balls of radius `weight`.

    Parameters
    ----------
    y : real tensor, shape (*batch, 2 or 3, *shape)
    x : real tensor, shape (*batch, *shape)
    step, weight : tensors, shape (elements of the batch,)
    isotropic : bool
        Whether the balls are of all directions together, or each direction's.
    """
    directions = y.shape[-1 - len(shape)]
    z, x = y.reshape(-1, directions, *shape).clone(), x.reshape(-1, *shape)
    step, weight = (each.reshape(-1, *(1,) * len(shape)) for each in (step, weight))
    for part, axis in zip(z.unbind(1), range(-directions, 0), strict=True):
        part.narrow(axis, 0, part.shape[axis] - 1).add_(step * x.diff(dim=axis))
    size = z.square().sum(1, keepdim=True).sqrt() if isotropic else z.abs()
    z *= (weight.unsqueeze(1) / size.clamp(min=torch.finfo(z.dtype).tiny)).clamp(max=1)
    return z.reshape(y.shape)
