"""The code length of images of 8 bits under a density."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.priors.base import Density, log_prob_kind, require
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["BitsPerDimension", "bits_per_dimension"]

_LEVELS = 256


@dataclass(frozen=True)
class BitsPerDimension:
    """Bits that a density spends on each number of an image.

    Attributes
    ----------
    mean : float
        Over the images.
    standard_error : float
        Of the mean, over the images; NaN for a single image.
    kind : {"exact", "upper bound", "estimate"}
        An upper bound holds for the mean over the random numbers.
    values : Tensor, float64, shape (n,)
        One for each image.
    """

    mean: float
    standard_error: float
    kind: Literal["exact", "upper bound", "estimate"]
    values: Tensor = field(repr=False)


def bits_per_dimension(
    prior: Density,
    images: Tensor | np.ndarray,
    *,
    samples: int = 1,
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    batch_size: int = 100,
    dtype: torch.dtype = torch.float32,
) -> BitsPerDimension:
    r"""Mean of ``-log2 p(image) / D`` over images of 8 bits with D numbers each.

    A prior of images of 256 levels has their probabilities, and these are taken as they are. From a density
    p of real numbers, whose levels are the distance w apart, the images are dequantized: to each level a
    number u is added that is uniform in an interval of the length w around zero. Then ::

        E_u[-log2 p(x + u)] - D log2 w  >=  -log2 P(x),    P(x) = integral of p over the box of x,

    by Jensen's inequality: Theis, van den Oord and Bethge (2016), section 3.1.

    Parameters
    ----------
    prior : Density
        Whose `log_prob` is what `invgen.priors.base.log_prob_kind` says: exact, a lower bound, or an
        estimate.
    images : uint8 tensor or array, shape (n, H, W) or (n, C, H, W)
        Level 0 is the least value of the prior's images, level 255 the largest.
    samples : int
        Numbers u for each image, over which -log2 p is averaged: for a smaller standard error, not for a
        smaller bound. Priors of 256 levels need none.
    seed : int
        The u of image i follow from seed + i alone.
    value_range : pair of float, optional
        What levels 0 and 255 stand for, for a prior that does not say so itself.
    batch_size : int
        Numbers of images that the prior sees at once.
    dtype : torch.dtype
        Precision of the images that the prior sees.

    Raises
    ------
    CapabilityError
        Where the prior has no `log_prob`.
    DtypeError, ShapeError
        Where the images are not of 8 bits, or not the prior's.
    ParameterError
        Where the prior is of complex images, of another number of levels, or of no known range.
    DataError
        Where `log_prob` is not a number.
    """
    require(prior, "bits_per_dimension", Density)
    samples, batch_size = as_count(samples, "samples"), as_count(batch_size, "batch_size")
    known = format_of(prior)
    pixels, (low, high) = _checked(images, known), _range(known, value_range)
    width = (high - low) / (_LEVELS - 1)
    shape = tuple(pixels.shape[1:])
    continuous = known.levels is None
    found = []
    with torch.no_grad():
        for numbers in torch.arange(len(pixels)).split(batch_size):
            x = low + width * pixels[numbers].double()
            if continuous:
                u = torch.stack([_uniform((samples, *shape), seed + int(i)) for i in numbers], dim=1)
                x = x + width * (u.to(x.device) - 0.5)
            log_prob = prior.log_prob(x.to(dtype).reshape(-1, *shape))
            found.append(log_prob.double().reshape(-1, len(numbers)).mean(0).cpu())
    size = math.prod(shape)
    log_probs = torch.cat(found) + continuous * size * math.log(width)
    if bool(log_probs.isnan().any()):
        raise DataError(f"log_prob of {type(prior).__name__} is not a number for some of the images.")
    values = -log_probs / (size * math.log(2))
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return BitsPerDimension(float(values.mean()), error, _kind(prior, continuous), values)


def _checked(images: Tensor | np.ndarray, known: ImageFormat) -> Tensor:
    """The images as a tensor, where they are of 8 bits and have the prior's axes."""
    pixels = torch.as_tensor(images) if isinstance(images, Tensor | np.ndarray) else None
    if pixels is None or pixels.dtype != torch.uint8:
        raise DtypeError(
            "bits_per_dimension counts the bits of images of 8 bits, a uint8 tensor or array; got "
            f"{type(images).__name__ if pixels is None else pixels.dtype}. Where images k / 255 are at hand, "
            "give it (255 * images).round().to(torch.uint8)."
        )
    if pixels.ndim not in (3, 4) or not pixels.numel():
        raise ShapeError(
            f"bits_per_dimension expects images (n, H, W) or (n, C, H, W); got {tuple(pixels.shape)}."
        )
    if known.axes not in (0, pixels.ndim - 1):
        wanted = "(n, H, W)" if known.axes == 2 else "(n, C, H, W)"
        raise ShapeError(f"The prior is one of images {wanted}; got {tuple(pixels.shape)}.")
    return pixels


def _range(known: ImageFormat, given: tuple[float, float] | None) -> tuple[float, float]:
    """What the levels 0 and 255 stand for."""
    if known.field == "complex":
        raise ParameterError("The prior is one of complex images, which 8 bits do not hold.")
    if known.levels not in (None, _LEVELS):
        raise ParameterError(
            f"The prior is one of images of {known.levels} levels; those of 8 bits have {_LEVELS}."
        )
    if given is not None and known.value_range not in (None, tuple(given)):
        raise ParameterError(f"The prior's images have the range {known.value_range}; got {given}.")
    found = known.value_range or given
    if found is None:
        raise ParameterError(
            "The prior does not say which values its images have: give value_range=(0.0, 1.0) or the like."
        )
    # a format with these entries checks them
    checked = ImageFormat(value_range=found).value_range
    assert checked is not None
    return checked


def _uniform(shape: tuple[int, ...], seed: int) -> Tensor:
    """Numbers that are uniform in 0 to 1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _kind(prior: Density, continuous: bool) -> Literal["exact", "upper bound", "estimate"]:
    """What the bits are, as the prior says what its logarithms are."""
    kind = log_prob_kind(prior)
    if kind == "estimate":
        return "estimate"
    return "upper bound" if continuous or kind == "lower bound" else "exact"
