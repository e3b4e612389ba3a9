"""Latents of flows: standard normal numbers, in one axis."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.space import check_finite

__all__ = ["check_latents", "check_temperature", "standard_normal"]


def standard_normal(z: Tensor) -> Tensor:
    """Logarithm of the standard normal density, over the last axis."""
    return -(z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi)) / 2


def check_latents(z: Any, shape: tuple[int, ...], who: str) -> None:
    """Raise unless `z` is a finite batch of latents of that shape, ``(D,)``."""
    if not isinstance(z, Tensor) or z.dtype not in (torch.float32, torch.float64):
        raise DtypeError(f"{who} expects a tensor of float32 or float64; got {getattr(z, 'dtype', type(z))}.")
    if tuple(z.shape[-1:]) != shape:
        raise ShapeError(
            f"{who} expects latents (*batch, {shape[0]}); got {tuple(z.shape)}. Those of images are given by "
            "encode(x)."
        )
    check_finite(z, who)


def check_temperature(temperature: float) -> None:
    """Raise unless it is a number from zero on."""
    if not 0 <= temperature < math.inf:
        raise ParameterError(f"temperature is a number from zero on; got {temperature}.")
