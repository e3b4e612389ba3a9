"""Tangent vectors of images: how they change when they are moved, deformed, thickened and brightened."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["tangent_vectors"]


def tangent_vectors(images: Tensor, blur: float) -> Tensor:
    """Derivatives of images along eight directions, shape (n, 8, *image).

    As Simard, LeCun, Denker and Victorri (1998), "Transformation invariance in pattern recognition": those of
    the displacement of all points by a pixel down and to the right; of the displacement proportional to the
    row and to the column, in each of these two directions, which span rotation, scaling and both shears;
    of the displacement of edges by a pixel away from what is bright, ``|gradient|``; and of the contrast, the
    image itself. Rows and columns count from the center, in a unit in which their root mean square over the
    image is one, so that all displacements are one pixel large.

    Parameters
    ----------
    images : real tensor, shape (n, *image)
        Images are their last two axes; beyond the edge they are zero.
    blur : positive number
        Standard deviation in pixels of the Gaussian whose derivatives are taken.
    """
    (W_rows, D_rows), (W_columns, D_columns) = (_derivative(n, blur, images) for n in images.shape[-2:])
    down = D_rows @ images @ W_columns.mT
    right = W_rows @ images @ D_columns.mT
    row, column = (torch.arange(n, dtype=images.dtype, device=images.device) for n in images.shape[-2:])
    row, column = (row - row.mean())[:, None], column - column.mean()
    unit = ((row.square().mean() + column.square().mean()) / 2).sqrt().clamp(min=1)
    displaced = [field * each for field in (1, row / unit, column / unit) for each in (down, right)]
    return torch.stack([*displaced, torch.hypot(down, right), images], 1)


def _derivative(n: int, blur: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (n, n) of a Gaussian and of its derivative, which is exact on straight lines."""
    at = torch.arange(n, dtype=torch.float64)
    away = at - at[:, None]
    reach = torch.arange(-n, n + 1, dtype=torch.float64)
    weights = torch.exp(-reach.square() / (2 * blur**2))
    smooth = torch.exp(-away.square() / (2 * blur**2)) / weights.sum()
    slope = away * smooth * weights.sum() / (reach.square() * weights).sum()
    return smooth.to(like), slope.to(like)
