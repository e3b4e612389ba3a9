"""What all functions of coils share: their checks, and the covariance of coils."""

from __future__ import annotations

from typing import Any

import torch

from invgen.errors import DataError, DtypeError, ShapeError
from invgen.operators.space import check_finite

__all__ = ["checked", "covariance"]


def checked(data: Any, who: str, layout: str, dimensions: tuple[int, ...] | None = None) -> torch.Tensor:
    """Complex finite data, coils first, that are not all zero.

    Parameters
    ----------
    layout : str
        What the axes are, for the message.
    dimensions : tuple of int, optional
        How many axes there may be, the coils' among them; by default two and more.
    """
    data = torch.as_tensor(data)
    fits = data.ndim >= 2 if dimensions is None else data.ndim in dimensions
    if not fits or not data.numel():
        raise ShapeError(f"{who} expects {layout}; got the shape {tuple(data.shape)}.")
    if not data.is_complex():
        raise DtypeError(f"{who} expects complex numbers; got {str(data.dtype).removeprefix('torch.')}.")
    check_finite(data, who)
    if not bool(data.any()):
        raise DataError(f"{who} got nothing but zeros.")
    return data


def covariance(data: torch.Tensor) -> torch.Tensor:
    """``sum d d.H`` over all but the coils, complex128: squares of small numbers stay numbers."""
    flat = data.flatten(1).to(torch.complex128)
    return flat @ flat.mH
