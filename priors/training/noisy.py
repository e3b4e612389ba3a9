"""Training on noisy images alone: by Stein's estimate of the error, or by prediction of masked pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.training.batches import Batches, weight_of

__all__ = ["SURE", "Noise2Self"]

#: Step of the finite difference of the divergence, in units of the noise: both signs of the probe are equally
#: likely, so that the error is of second order.
_STEP = 0.1


class _Noisier(NamedTuple):
    """Images as they were measured, the same with more noise, and the other arguments of the network."""

    measured: Tensor
    noisier: Tensor
    sigma: Tensor
    label: Tensor | None
    extra: Tensor | None


@dataclass(frozen=True)
class _Noisy(Batches):
    """Images with white Gaussian noise of a known level, to which noise is added for all higher levels."""

    noise_std: float = math.nan
    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.noise_std < math.inf:
            raise ParameterError(
                f"noise_std is the level of the images' noise, a positive number; got {self.noise_std}."
            )

    def _noisier(self, generator: torch.Generator) -> _Noisier:
        images, extra, label = self.draw(generator)
        draws: dict[str, Any] = {"generator": generator, "device": generator.device}
        sigma = torch.exp(self.mean + self.std * torch.randn(len(images), **draws))
        sigma = sigma.clamp(min=self.noise_std)
        added = (sigma.square() - self.noise_std**2).clamp(min=0).sqrt()[:, None, None, None]
        noisier = images + added * torch.randn(images.shape, **draws)
        return _Noisier(images, noisier, sigma, label, extra)


@dataclass(frozen=True)
class SURE(_Noisy):
    """Mean weighted error of a denoiser, from noisy images: Stein (1981), theorem 1.

    As Metzler et al. (2018), eq. 6, and Soltanayev and Chun (2018), eq. 10, train by it, with the divergence
    along one random probe: Ramani, Blu and Unser (2008), theorem 2. Here for every level ``sigma`` from
    `noise_std` on: of images y with noise s, and z with more of it, sigma in all,

        E |D(z, sigma) - x|^2 = E |D(z, sigma) - y|^2 - N s^2 + 2 s^2 div D,

    as Stein's lemma says of y's noise, given the other. The expectation of the loss is that of
    `ScoreMatching` at the same levels. The network must not have dropout, which would enter the estimate of
    the divergence.

    Parameters
    ----------
    noise_std : float
        Level s of the noise that the images have, in the network's units.
    mean, std : float
        Of the logarithm of sigma, which has a Gaussian distribution; levels below `noise_std` become that.
    images, batch_size, patch, positioned, flips, labels, transform
        See `Batches`. The noise stays white under all of them.
    """

    def __call__(self, module: nn.Module, generator: torch.Generator) -> Tensor:
        """The loss of one batch: an estimate of an error, which may be negative."""
        measured, noisier, sigma, label, extra = self._noisier(generator)
        signs = torch.randint(2, measured.shape, generator=generator, device=generator.device)
        probe, step = (2 * signs - 1).to(measured), _STEP * sigma[:, None, None, None]
        # in one call, as networks that are distributed over several devices need
        label, extra = (None if x is None else torch.cat([x, x]) for x in (label, extra))
        both = module(torch.cat([noisier, noisier + step * probe]), torch.cat([sigma, sigma]), label, extra)
        denoised, moved = both.chunk(2)
        divergence = (probe * (moved - denoised) / step).flatten(1).mean(1)
        error = (denoised - measured).square().flatten(1).mean(1)
        weight = weight_of(module, sigma)
        return (weight * (error + self.noise_std**2 * (2 * divergence - 1))).mean()


@dataclass(frozen=True)
class Noise2Self(_Noisy):
    """Error of pixels that the network predicts from the others, Batson and Royer (2019), eq. 3 and sec. 3.

    Pixels on a grid, at a random offset, are replaced by the mean of their four neighbors, and the network's
    prediction is compared with what was measured there: noise that is independent from pixel to pixel, of
    zero mean and any distribution, cannot be predicted. The loss is the error plus the variance of the noise.
    The denoiser does not see the pixel itself, and is worse for it than by `SURE`, which needs Gaussian
    noise.

    Parameters
    ----------
    grid : int
        Distance of the predicted pixels.
    noise_std, mean, std, images, batch_size, patch, positioned, flips, labels, transform
        See `SURE`.
    """

    grid: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        side = self.patch or min(self.images[0].shape[-2:])
        if as_count(self.grid, "grid", least=2) > side:
            raise ShapeError(f"grid is a distance from 2 to the images' {side} pixels; got {self.grid}.")

    def __call__(self, module: nn.Module, generator: torch.Generator) -> Tensor:
        """The loss of one batch."""
        measured, noisier, sigma, label, extra = self._noisier(generator)
        predicted = self._predicted(measured, generator)
        near = F.pad(noisier, (1, 1, 1, 1), mode="reflect")
        around = near[..., :-2, 1:-1] + near[..., 2:, 1:-1] + near[..., 1:-1, :-2] + near[..., 1:-1, 2:]
        seen = torch.where(predicted, around / 4, noisier)
        error = (module(seen, sigma, label, extra) - measured).square() * predicted
        weight = weight_of(module, sigma)
        return (weight * error.flatten(1).sum(1) / predicted.expand_as(error).flatten(1).sum(1)).mean()

    def _predicted(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The predicted pixels of all channels: a grid for each image, ``(N, 1, H, W)``."""
        draws: dict[str, Any] = {"generator": generator, "device": images.device}
        down, across = torch.randint(self.grid, (2, len(images), 1, 1), **draws)
        rows, columns = (torch.arange(n, device=images.device) for n in images.shape[-2:])
        return (((rows[:, None] - down) % self.grid == 0) & ((columns - across) % self.grid == 0))[:, None]
