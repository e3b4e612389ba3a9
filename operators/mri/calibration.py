"""The fully sampled region around the origin of k-space."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["calibrated"]


def calibrated(
    sampled: torch.Tensor, limits: Sequence[int] | None = None, window: int = 1
) -> tuple[int, ...]:
    """Size of the fully sampled box around the origin that holds the largest number of windows.

    Parameters
    ----------
    sampled : bool tensor
        Mask of k-space, whose origin is the entry ``N // 2`` of each axis.
    limits : sequence of int, optional
        Largest width along each axis; by default that of k-space.
    window : int
        Width of the windows along each axis. A width of one results in the largest box.

    Returns
    -------
    tuple of int
        Where no window fits, the size of the largest box; zeros where the origin is not sampled. A box of
        width w begins at ``N // 2 - w // 2``.
    """
    limits = sampled.shape if limits is None else limits
    size = places = torch.ones((), dtype=torch.long, device=sampled.device)
    for axis, (n, limit) in enumerate(zip(sampled.shape, limits, strict=True)):
        # outwards from the origin: the first w entries are the box of width w
        order = [n // 2 + (-(i + 1) // 2 if i % 2 else i // 2) for i in range(limit)]
        sampled = sampled.index_select(axis, torch.tensor(order, device=sampled.device))
        sampled = sampled.int().cummin(axis).values
        widths = torch.arange(1, limit + 1, device=sampled.device)
        widths = widths.reshape(-1, *(1,) * (sampled.ndim - 1 - axis))
        size, places = size * widths, places * (widths - window + 1).clamp(min=0)
    score = (places * (size.max() + 1) + size) * sampled
    if not bool(score.any()):
        return (0,) * sampled.ndim
    return tuple(int(i) + 1 for i in torch.unravel_index(score.argmax(), score.shape))
