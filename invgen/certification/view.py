"""A prior of which only the denoiser can be seen, or a generator besides."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.frozen import Constant
from invgen.priors.base import Denoiser
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["DenoiserView", "GeneratorView"]

#: Eigenvalues of a covariance below this part of the largest are rounding: a direction without variance.
_ROUNDING = 1e-10


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
        How many images were denoised or, with a generator, decoded.
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
        self._count(x, self._axes)
        return self._denoiser.denoise(x, sigma)

    def _count(self, x: torch.Tensor, axes: int) -> None:
        images = x.shape[: x.ndim - axes].numel()
        self.evaluations += images
        if torch.is_grad_enabled() and x.requires_grad:
            self.derivatives += images


class GeneratorView(DenoiserView):
    """The denoiser of a Gaussian prior, and the prior as a linear generator ``m + W z``.

    ``W W.H`` is the covariance, and z are as many standard normal numbers as that has directions; of complex
    images twice that number, the real parts and then the imaginary ones.

    Parameters
    ----------
    prior : Gaussian
    std : number
        See `DenoiserView`.
    """

    def __init__(self, prior: Any, std: float) -> None:
        super().__init__(prior, std)
        values, vectors = torch.linalg.eigh(prior.covariance())
        kept = values > _ROUNDING * values[-1]
        self._mean = Constant(prior.mean())
        self._columns = Constant(vectors[:, kept] * values[kept].sqrt())
        parts = 2 if prior.space.field == "complex" else 1
        self.latent_shape = (parts * int(kept.sum()),)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """``m + W z``; see `invgen.priors.Generator`."""
        self._count(z, 1)
        mean = self._mean.like(z)
        z = torch.complex(*z.chunk(2, dim=-1)) if mean.is_complex() else z
        return (z @ self._columns.like(z).mT).unflatten(-1, mean.shape) + mean

    def latent_log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """That of standard normal numbers."""
        return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2
