"""Checks of coil data, and the correlation of coils."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.core.space import check_finite

__all__ = ["checked", "coil_gram"]


def checked(data: Any, who: str, layout: str, dimensions: tuple[int, ...] | None = None) -> torch.Tensor:
    """Complex finite data, coils first, that are not all zero.

    Parameters
    ----------
    layout : str
        Description of the axes, for the message.
    dimensions : tuple of int, optional
        The numbers of axes that are allowed, including that of the coils; by default two and more.
    """
    # maps are not differentiated: eigenvectors that are not unique have no derivative
    data = torch.as_tensor(data).detach()
    fits = data.ndim >= 2 if dimensions is None else data.ndim in dimensions
    if not fits or not data.numel():
        raise ShapeError(f"{who} expects {layout}; got the shape {tuple(data.shape)}.")
    if not data.is_complex():
        raise DtypeError(f"{who} expects complex numbers; got {str(data.dtype).removeprefix('torch.')}.")
    check_finite(data.cpu(), who)  # also from a GPU: this is done once for a scan
    if not bool(data.any()):
        raise DataError(f"{who} got only zeros.")
    return data


def coil_gram(data: torch.Tensor) -> torch.Tensor:
    """``sum d d.H`` over all axes but the coils, complex128, in which squares do not underflow."""
    flat = data.flatten(1).to(torch.complex128)
    return flat @ flat.mH
