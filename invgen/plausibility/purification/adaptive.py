"""Purification of the images that are anomalous, while the others stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.batching import per_element
from invgen.core.errors import ParameterError, ShapeError
from invgen.plausibility.purification.base import Purification

__all__ = ["AdaptivePurification"]


@dataclass(frozen=True)
class AdaptivePurification:
    """A purification whose radius is zero for images that are not anomalous.

    Song et al. (2018), "PixelDefend", section 5: where the p-value of an image is above the level, it
    stays as it is.

    Parameters
    ----------
    purification : Purification
    p_value : callable
        Of images to p-values, shape of the batch, such as
        ``lambda x: permutation_p_value(-prior.log_prob(x), calibration)``.
    level : number
        Between zero and one: the part of ordinary images that are purified nevertheless.
    """

    purification: Purification
    p_value: Callable[[Tensor], Tensor]
    level: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ParameterError(f"level is between 0 and 1; got {self.level!r}.")

    def __call__(self, x: Tensor, *, seed: int = 0) -> Tensor:
        """Purify the anomalous ones of images ``(*batch, *image)``; see `Purification`."""
        purified = self.purification(x, seed=seed)
        anomalous = self.p_value(x) <= self.level
        if anomalous.shape != x.shape[: anomalous.ndim]:
            raise ShapeError(
                f"p_value returns a number for each image of a batch {tuple(x.shape)}; got "
                f"{tuple(anomalous.shape)}."
            )
        which = per_element(anomalous.to(x.device), x.ndim - anomalous.ndim)
        return torch.where(which, purified, x)
