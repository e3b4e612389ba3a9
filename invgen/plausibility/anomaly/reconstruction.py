"""Reconstruction error: how much of an image the prior can make itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.plausibility.anomaly.base import Side, Statistic, in_parts
from invgen.priors.base import Denoiser, Generator
from invgen.priors.image_format import format_of

__all__ = ["Reconstructing", "ReconstructionError"]


#: Largest number of draws, starts and steps: a file may ask for any.
_MOST = 10_000


@runtime_checkable
class Reconstructing(Protocol):
    """A prior that encodes images and decodes them again."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images from the latent variables of images."""


@dataclass(frozen=True)
class ReconstructionError(Statistic):
    """Squared error of an image that the prior has reconstructed, in the prior's unit, -1 to 1.

    By what the prior can do: an autoencoder encodes and decodes (An and Cho 2015, "Variational autoencoder
    based anomaly detection"); of a generator the nearest image is searched, by Adam from a few latent
    variables that are the same for all images (Schlegl et al. 2017, "AnoGAN", without its term of the
    discriminator); a denoiser removes noise that is added, the same for all images, and the error is the mean
    over draws of it (Graham et al. 2023, "Denoising diffusion models for out-of-distribution detection", in
    one step from one level).

    Blind to what is simple: constant images are reconstructed well by most priors; ``side="both"``.

    Parameters
    ----------
    sigma : float
        Noise level of a denoiser, in half widths of the prior's value range.
    draws : int
        Of that noise.
    starts, steps : int
        Of the search among a generator's images.
    side : {"high", "both"}
    """

    name = "reconstruction-error"
    capabilities: ClassVar[tuple[type, ...]] = (Reconstructing, Generator, Denoiser)

    sigma: float = 2.0
    draws: int = 4
    starts: int = 4
    steps: int = 100
    side: Side = "high"

    def __post_init__(self) -> None:
        for name in ("draws", "starts", "steps"):
            as_count(getattr(self, name), name, most=_MOST)
        if not 0 < self.sigma < float("inf"):
            raise ParameterError(f"sigma is a positive noise level; got {self.sigma!r}.")
        if self.side not in ("high", "both"):
            raise ParameterError(f'side is "high" or "both"; got {self.side!r}.')

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        if isinstance(prior, Reconstructing):
            errors = in_parts(lambda x: _squares(prior.reconstruct(x) - x), images)
        elif isinstance(prior, Generator):
            errors = in_parts(lambda x: self._nearest(prior, x), images)
        else:
            return self.denoising_error(prior, images)
        return errors / format_of(prior).unit[1] ** 2

    def denoising_error(self, prior: Denoiser, images: Tensor, turned: int = 0) -> Tensor:
        """Mean squared error of images ``(n, *image)`` after noise and denoising, in the prior's unit.

        The noise is turned by a number of quarters of a circle, so that a turned image gets what it had.
        """
        return in_parts(lambda x: self._denoised(prior, x, turned), images) / format_of(prior).unit[1] ** 2

    def _denoised(self, prior: Denoiser, x: Tensor, turned: int) -> Tensor:
        """Mean error of the denoised image over draws of the noise."""
        sigma = self.sigma * format_of(prior).unit[1]
        noise = Draws(range(self.draws), device=x.device)(x[:1].expand(self.draws, *x.shape[1:]))
        if turned:
            noise = noise.rot90(turned, (-2, -1))
        return torch.stack([_squares(prior.denoise(x + sigma * n, sigma) - x) for n in noise]).mean(0)

    def _nearest(self, prior: Generator, x: Tensor) -> Tensor:
        """Least error over images of the generator, as far as the search finds it."""
        like = x.real.new_empty(self.starts, *prior.latent_shape)
        starts = Draws(range(self.starts), device=x.device)(like)

        def errors(z: Tensor) -> Tensor:
            made = prior.decode(z.flatten(0, 1)).reshape(self.starts, *x.shape)
            return _squares((made - x).flatten(0, 1))

        with torch.enable_grad():
            z = starts[:, None].repeat(1, len(x), *(1,) * len(prior.latent_shape)).requires_grad_()
            optimizer = torch.optim.Adam([z], lr=0.1)
            for _ in range(self.steps):
                optimizer.zero_grad()
                # of each image and start by itself: they are independent terms of the sum
                errors(z).sum().backward()
                optimizer.step()
        return errors(z.detach()).reshape(self.starts, -1).amin(0)


def _squares(x: Tensor) -> Tensor:
    return x.abs().square().flatten(1).sum(1)
