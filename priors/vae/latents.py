"""Checks of latent variables that users give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import DtypeError, ShapeError
from invgen.core.space import check_finite

__all__ = ["check_latents"]


def check_latents(z: Any, shape: tuple[int, ...], who: str) -> torch.Size:
    """Raise unless `z` is a finite batch of latent variables of this shape; return its batch axes.

    Raises
    ------
    DtypeError, ShapeError, DataError
    """
    if not isinstance(z, Tensor) or z.dtype not in (torch.float32, torch.float64):
        kind = z.dtype if isinstance(z, Tensor) else type(z).__name__
        raise DtypeError(f"{who} expects latent variables, a tensor of float32 or float64; got {kind}.")
    if z.ndim < len(shape) or tuple(z.shape[z.ndim - len(shape) :]) != shape:
        raise ShapeError(
            f"{who} expects latent variables of the shape {shape}, after any batch axes; got {(*z.shape,)}."
        )
    check_finite(z, who)
    return z.shape[: z.ndim - len(shape)]
