"""A place in the space of what is sampled or optimized, and what a density is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["Density", "Point"]


class Point(NamedTuple):
    """A place, and what is known there.

    Attributes
    ----------
    x : tensor, shape (*batch, *variable)
    data, penalty : tensor, shape of the batch
        Both terms of the energy, that of the data and the other; infinite where there is no density.
    gradient : tensor, shape of x
        Of the energy.
    image : tensor, shape (*batch, *image)
        The image that x stands for, which may be x itself.
    """

    x: Tensor
    data: Tensor
    penalty: Tensor
    gradient: Tensor
    image: Tensor

    @property
    def energy(self) -> Tensor:
        """Minus the logarithm of the density, up to a constant, shape of the batch."""
        return self.data + self.penalty


#: What is known at a place.
Density = Callable[[Tensor], Point]
