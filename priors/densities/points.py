"""What densities of points share: their data, checked, and uniform numbers that follow from seeds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.core.space import check_finite
from invgen.priors.image_format import ImageFormat

__all__ = ["as_points", "format_of_points", "uniforms"]


def as_points(data: Any, who: str, least: int = 2) -> Tensor:
    """Data as points in double precision on the CPU, shape (n, D).

    Raises
    ------
    ShapeError, DtypeError, DataError
        Where these are no points, fewer than `least`, not finite, or all the same in a coordinate.
    """
    data = torch.as_tensor(data)
    if data.is_complex():
        raise DtypeError(f"{who} expects real points; got {data.dtype}.")
    if data.ndim != 2 or not data.shape[1]:
        raise ShapeError(
            f"{who} expects points of the shape (n, D); got {tuple(data.shape)}. Numbers are points of one "
            "coordinate: data[:, None]."
        )
    if len(data) < least:
        raise ShapeError(f"{who} needs at least {least} points; got {len(data)}.")
    data = data.detach().double().cpu()
    check_finite(data, who)
    constant = torch.nonzero(data.amax(0) == data.amin(0))
    if len(constant):
        raise DataError(
            f"{who} got points that are all {float(data[0, constant[0]]):g} in coordinate "
            f"{int(constant[0])}: they have no density. Leave this coordinate out."
        )
    return data


def format_of_points(dimensions: int) -> ImageFormat:
    """Of points as images of one axis."""
    return ImageFormat((dimensions,), field="real")


def uniforms(n: int, seed: int, *shape: int) -> Tensor:
    """Uniform numbers in (0, 1) in double precision, shape (n, *shape); row i follows from ``seed + i``."""
    n = as_count(n, "n, the number of points,", least=0)
    if n == 0:
        return torch.empty(0, *shape, dtype=torch.float64)
    draws = Draws(range(seed, seed + n))
    return torch.special.ndtr(draws(torch.empty(n, *shape, dtype=torch.float64)))
