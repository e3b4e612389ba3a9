"""What purifications share: arguments are checked once, and the ball around an image."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from torch import Tensor

from invgen.core.errors import CapabilityError, ParameterError
from invgen.plausibility.inputs import checked_images
from invgen.priors.base import require
from invgen.priors.image_format import format_of

__all__ = ["Ball", "Purification"]


@dataclass(frozen=True)
class Purification:
    """Base of the maps of images to ones near them that a prior finds more probable.

    A subclass gives ``_purified(x, seed)`` of images ``(N, *image)``, of which image i may draw from
    ``seed + i``, and the `protocols` one of which its prior must have.

    Parameters
    ----------
    prior
    """

    prior: Any

    protocols: ClassVar[tuple[type, ...]]

    def __post_init__(self) -> None:
        require(self.prior, type(self).__name__, *self.protocols)

    def __call__(self, x: Tensor, *, seed: int = 0) -> Tensor:
        """Purify images.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)
        seed : int
            Image i of the batch, whatever its axes, draws from ``seed + i`` alone.

        Returns
        -------
        tensor, shape (*batch, *image)
            With a derivative along x where the method has one: `DenoisingPurification` and
            `DiffusionPurification`.

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where x is no such images, or has values out of the prior's range.
        """
        images = checked_images(x, format_of(self.prior), type(self).__name__)
        return self._purified(images, seed).reshape(x.shape) if len(images) else x.clone()

    def _purified(self, x: Tensor, seed: int) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class Ball(Purification):
    """Base of the purifications whose images stay within a ball around those given.

    Parameters
    ----------
    prior
    eps : positive number
        Radius of the ball in the maximum norm: how far each pixel may move, in the unit of the images.
    """

    eps: float
    _: KW_ONLY

    def __post_init__(self) -> None:
        super().__post_init__()
        who, images = type(self).__name__, format_of(self.prior)
        low, high = images.value_range or (0.0, math.inf)
        if not 0 < self.eps <= high - low or self.eps == math.inf:
            raise ParameterError(
                f"eps of {who} is positive, and at most the width of the value range, {high - low:g}; got "
                f"{self.eps!r}."
            )
        if images.field == "complex":
            raise CapabilityError(f"{who} is for real images; {type(self.prior).__name__} has complex ones.")

    def _bounds(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The least and largest values of each pixel in the ball, within the prior's value range."""
        low, high = format_of(self.prior).value_range or (-math.inf, math.inf)
        return (x - self.eps).clamp(low, high), (x + self.eps).clamp(low, high)
