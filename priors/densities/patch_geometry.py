"""Patches of images, and a basis of those without mean."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.priors.densities.cosines import cosines

__all__ = ["patches_of", "zero_mean_basis"]

#: Patches of a block: their coefficients fit into a processor's cache.
_BLOCK = 2**13


def zero_mean_basis(p: int) -> torch.Tensor:
    """Cosines, all but the constant: the rows are orthonormal patches, float64, shape (p^2 - 1, p^2)."""
    C = cosines(p)
    return torch.kron(C, C)[1:]


def patches_of(
    image: torch.Tensor, p: int, stride: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Rows and columns of the corners of patches, and the patches as rows (n, p^2), some rows at a time."""
    rows, columns = (_corners(n, p, stride, image.device) for n in image.shape)
    windows = image.unfold(0, p, 1).unfold(1, p, 1)
    for some in rows.split(max(1, _BLOCK // len(columns))):
        yield some, columns, windows[some[:, None], columns].reshape(-1, p * p)


def _corners(n: int, p: int, stride: int, device: torch.device) -> torch.Tensor:
    """First pixels of the patches along an axis of n pixels, the last one included: they cover the axis."""
    last = n - p
    return (torch.arange(0, last + stride, stride, device=device)).clamp(max=last)
