"""The most probable image within a ball, by a denoiser alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.plausibility.purification.base import Ball
from invgen.priors.base import Denoiser
from invgen.priors.image_format import format_of

__all__ = ["DenoisingPurification"]


@dataclass(frozen=True)
class DenoisingPurification(Ball):
    """Projected gradient ascent of the density with noise, ``p_sigma = p * N(0, sigma^2)``, within a ball.

    By Tweedie's formula a step of sigma^2 along the score ends at the denoised image: the iteration is
    ``x <- P(D(x, sigma))``, P being the projection onto the ball. No step can be less probable than the one
    before: the Hessian of log p_sigma is at least ``-1 / sigma^2`` (its posterior covariance is not
    negative), so that sigma^2 is a step that needs no search. For mixtures of Gaussians it is mean shift,
    Cheng (1995); for learned denoisers this holds as far as they are posterior means.

    Parameters
    ----------
    prior : Denoiser
    eps : positive number
        In the unit of the images.
    sigma : positive number
        Noise level, in the unit of the images: below the size of what was changed, its parts are kept; far
        above it, the image is changed into another.
    iterations : int
    """

    prior: Denoiser
    sigma: float
    iterations: int = 10

    protocols: ClassVar[tuple[type, ...]] = (Denoiser,)

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count(self.iterations, "iterations")
        low, high = format_of(self.prior).noise_range or (0.0, float("inf"))
        if not low <= self.sigma <= high or self.sigma in (0, float("inf")):
            raise ParameterError(
                f"sigma is a positive noise level of the prior, from {low:g} to {high:g}; got {self.sigma!r}."
            )

    def _purified(self, x: Tensor, seed: int) -> Tensor:
        low, high = self._bounds(x)
        for _ in range(self.iterations):
            x = self.prior.denoise(x, self.sigma).clamp(low, high)
        return x
