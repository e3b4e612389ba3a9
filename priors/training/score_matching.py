"""Denoising score matching: the objective of diffusion models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.errors import ParameterError
from invgen.priors.training.batches import Batches, weight_of

__all__ = ["ScoreMatching"]


@dataclass(frozen=True)
class ScoreMatching(Batches):
    """Mean weighted error of a denoiser on a random batch, Vincent (2011).

    With the weights of Karras et al. (2022), eqs. 2 and 8.

    Parameters
    ----------
    mean, std : float
        Of the logarithm of the noise level, which has a Gaussian distribution.
    sigma_range : pair of float
        Noise levels outside of it become the nearer end.
    uncertainty : float
        Largest error, in the logarithm, of the level that is passed to the network: the denoiser then loses
        little where the noise level is misjudged.
    images, batch_size, patch, positioned, flips, labels, withheld, transform
        See `Batches`.
    """

    mean: float = -1.2
    std: float = 1.2
    sigma_range: tuple[float, float] = (0.0, math.inf)
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.sigma_range
        if not (0 <= low < high):
            raise ParameterError(f"sigma_range is a pair of noise levels, low to high; got {low} and {high}.")

    def __call__(self, module: nn.Module, generator: torch.Generator) -> Tensor:
        """The loss of one batch."""
        images, extra, label = self.draw(generator)
        draws: dict[str, Any] = {"generator": generator, "device": generator.device}
        sigma = torch.exp(self.mean + self.std * torch.randn(len(images), **draws)).clamp(*self.sigma_range)
        noise = torch.randn(images.shape, **draws)
        assumed = sigma
        if self.uncertainty:
            assumed = sigma * torch.exp(self.uncertainty * (2 * torch.rand(len(images), **draws) - 1))
        error = module(images + sigma[:, None, None, None] * noise, assumed, label, extra) - images
        weight = weight_of(module, sigma)
        return (weight * error.square().flatten(1).mean(1)).mean()
