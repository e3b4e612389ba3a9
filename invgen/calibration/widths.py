"""Intervals before they are calibrated: around a reconstruction, as wide as its samples or edges say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.checks import nonfinite
from invgen.core.errors import CapabilityError, DataError, ParameterError
from invgen.core.moments import moments
from invgen.core.space import IMAGE_AXES, Space
from invgen.reconstruction import Reconstruction

__all__ = ["Band", "Width", "band_of", "check_width", "targets_of"]

#: What the widths of intervals are taken from; see `band_of`.
Width = Literal["quantiles", "deviation", "edges", "constant"]

#: Those of samples; the others are of one estimate.
_OF_SAMPLES = ("quantiles", "deviation")

#: Widths are zero that are this part of the largest value: errors of rounding.
_ROUNDING = 1e-9

#: Side of the neighborhood whose standard deviation is an edge's.
_SIDE = 5


@dataclass(frozen=True)
class Band:
    """An interval of each target that reaches from ``center - below`` to ``center + above``.

    Attributes
    ----------
    center, below, above : tensors, shape (*batch, targets), float64
    """

    center: Tensor
    below: Tensor
    above: Tensor

    def scores(self, truth: Tensor) -> Tensor:
        """The least factor on the widths for which each interval has the truth, shape (*batch, targets).

        Zero where the error is zero, and infinite where the width alone is.
        """
        error = truth.double() - self.center
        width = torch.where(error < 0, self.below, self.above)
        return torch.where(error == 0, 0.0, error.abs() / width)

    def scaled(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the intervals, with widths times factors that broadcast."""
        return self.center - factors * self.below, self.center + factors * self.above


def band_of(
    reconstruction: Reconstruction,
    space: Space,
    width: Width,
    level: float,
    *,
    floor: float = 0.0,
    regions: Tensor | None = None,
) -> Band:
    """Intervals of the pixels of an image, or of its means over regions; of complex images, of the modulus.

    Parameters
    ----------
    reconstruction : Reconstruction
    space : Space
        Of the image.
    width : {"quantiles", "deviation", "edges", "constant"}
        "quantiles": from the median to the ends of `Reconstruction.interval`. "deviation": the mean of the
        samples and their standard deviation. Of an estimate without samples, "edges": the standard deviation
        of the image in the 5 x 5 pixels around, as errors are largest next to edges. "constant": the root
        mean square of the image, everywhere. Those of a region are taken from the means of the samples over
        it; of an estimate they are the mean over it.
    level : float
        Of the quantiles.
    floor : float
        This part of the root mean square width of all targets of the image is added to each.
    regions : bool tensor, shape (k, *image), optional

    Raises
    ------
    CapabilityError
        Where the width takes samples, and there are none, or a single one.
    DataError
        Where the reconstruction holds NaN or infinities.
    """
    x = reconstruction.x
    if bad := nonfinite(x, IMAGE_AXES):
        raise DataError(f"The reconstruction holds {bad}, around which there is no interval.")
    if width in _OF_SAMPLES:
        drawn = reconstruction.samples
        if drawn is None or len(drawn) < 2:
            count = "none" if drawn is None else "one"
            raise CapabilityError(
                f'The width "{width}" takes two samples or more of each image, and there is {count}: draw '
                'more, as by samples=8, or take the width "edges" or "constant" of an estimate.'
            )
        values = targets_of(drawn, space, regions)
        found = _of_samples(replace(reconstruction, x=values.mean(0), samples=values), width, level)
    else:
        real = x.abs() if x.is_complex() else x
        center = targets_of(real, space, regions)
        half = targets_of(_edges(real, space) if width == "edges" else _constant(real, space), space, regions)
        found = Band(center, half, half)
    least = _ROUNDING * found.center.abs().amax(-1, keepdim=True)
    below, above = (torch.where(each > least, each, 0.0) for each in (found.below, found.above))
    added = floor * ((below.square() + above.square()).mean(-1, keepdim=True) / 2).sqrt()
    return Band(found.center, below + added, above + added)


def targets_of(x: Tensor, space: Space, regions: Tensor | None) -> Tensor:
    """What intervals are of, in float64: pixels, or means over regions; of complex images of the modulus.

    Parameters
    ----------
    x : tensor, shape (*batch, *image)
    space : Space
    regions : bool tensor, shape (k, *image), or None

    Returns
    -------
    tensor, shape (*batch, targets)
    """
    real = (x.abs() if x.is_complex() else x).detach().double().flatten(x.ndim - len(space.shape))
    if regions is None:
        return real
    weights = regions.flatten(1).double().to(real.device)
    return real @ (weights / weights.sum(1, keepdim=True)).T


def check_width(width: str | None, samples: int, floor: float) -> Width:
    """The width by its name, or that which suits a number of samples.

    Raises
    ------
    ParameterError
    """
    if width is None:
        width = "quantiles" if samples > 1 else "edges"
    for each in get_args(Width):
        if width == each:
            break
    else:
        raise ParameterError(f"width is one of {', '.join(get_args(Width))}; got {width!r}.")
    if not (isinstance(floor, int | float) and 0 <= floor < float("inf")):
        raise ParameterError(f"floor is a number that is not negative, such as 0.1; got {floor!r}.")
    return each


def _of_samples(drawn: Reconstruction, width: Width, level: float) -> Band:
    assert drawn.samples is not None, "as checked"
    if width == "deviation":
        std = moments(drawn.samples, drawn.antithetic).std
        return Band(drawn.x, std, std)
    low, high = drawn.interval(level)
    center = drawn.quantile(0.5).clamp(low, high)
    return Band(center, center - low, high - center)


def _edges(image: Tensor, space: Space) -> Tensor:
    """Standard deviation in the neighborhood of each pixel, along the last two axes."""
    plane = image.double().reshape(-1, 1, *(1, *space.shape)[-2:])
    # about the mean, so that what is large and even has no deviation of rounding
    plane = plane - plane.mean((-2, -1), keepdim=True)

    def averaged(v: Tensor) -> Tensor:
        return F.avg_pool2d(v, _SIDE, stride=1, padding=_SIDE // 2, count_include_pad=False)

    variance = averaged(plane.square()) - averaged(plane).square()
    rounding = 1e-14 * plane.square().amax((-2, -1), keepdim=True)
    return torch.where(variance > rounding, variance, 0.0).sqrt().reshape(image.shape)


def _constant(image: Tensor, space: Space) -> Tensor:
    axes = tuple(range(-len(space.shape), 0))
    return image.double().square().mean(axes, keepdim=True).sqrt().expand(image.shape)
