"""A prior of which only the denoiser can be seen."""

from __future__ import annotations

from typing import Any

import torch

from invgen.priors.base import Denoiser
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["DenoiserView"]


class DenoiserView:
    """The denoiser of a prior, and nothing else of it: what a sampler has of a network.

    Parameters
    ----------
    prior : GaussianMixture
        One with closed forms, which a sampler that is certified must not use.
    std : number
        See below.

    Attributes
    ----------
    image_format : ImageFormat
        Lowest and highest noise level, and the standard deviation of a pixel, as a network has them.
    evaluations : int
        How many images were denoised.
    derivatives : int
        How many of them in a way that can be differentiated.
    """

    def __init__(self, prior: Any, std: float) -> None:
        self._denoiser: Denoiser = prior
        self._axes = len(prior.space.shape)
        self.image_format = ImageFormat(noise_range=format_of(prior).noise_range, std=std)
        self.evaluations = self.derivatives = 0

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Posterior mean of x0, given ``x = x0 + sigma n``; see `invgen.priors.Denoiser`."""
        images = x.shape[: x.ndim - self._axes].numel()
        self.evaluations += images
        if torch.is_grad_enabled() and x.requires_grad:
            self.derivatives += images
        return self._denoiser.denoise(x, sigma)
