"""The cosine transform as a matrix, for images that are small or many."""

from __future__ import annotations

import math

import torch

__all__ = ["cosines"]


def cosines(n: int) -> torch.Tensor:
    """The orthonormal cosines of n numbers (DCT-II) as rows, float64, shape (n, n)."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * (k + 0.5) * k[:, None]) * (2 / n) ** 0.5
    matrix[0] /= 2**0.5
    return matrix
