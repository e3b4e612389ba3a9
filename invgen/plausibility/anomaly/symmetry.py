"""Likelihood ratio of an image to itself, turned: what a prior knows of how its images lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.errors import ShapeError
from invgen.plausibility.anomaly.likelihood import LikelihoodStatistic, minus_log_prob
from invgen.plausibility.anomaly.reconstruction import ReconstructionError
from invgen.priors.base import Denoiser, Density, Energy, log_prob_kind
from invgen.priors.image_format import format_of

__all__ = ["SymmetryRatio", "has_likelihood", "turns"]

#: Draws of the noise that stand for the density of a denoiser.
_DRAWS = 8


def has_likelihood(prior: Any) -> bool:
    """Whether a prior has a density or an energy that is no mere estimate."""
    return isinstance(prior, Energy) or (isinstance(prior, Density) and log_prob_kind(prior) != "estimate")


@dataclass(frozen=True)
class SymmetryRatio(LikelihoodStatistic):
    """``log mean_g p(g x) - log p(x)`` in nats, over the turns g by quarters of a circle.

    A likelihood ratio as that of Ren et al. (2019), `LikelihoodRatio`, whose background model is the prior
    itself, made symmetric: strokes and textures, which are the same in any position, cancel, and what is left
    is how the image lies. Between ``-log 4``, where only the image as it lies is likely, and large values,
    where turned it would be more likely. Rotated digits have about the likelihood of upright ones, and are
    found by this alone. Of images that are not square, only the half turn counts. About zero where the prior
    does not care.

    Where the prior has no density but denoises, ``-log p`` is replaced by the error of the denoised image
    over ``2 sigma^2`` at one noise level, `ReconstructionError`: one term of the evidence lower bound of
    diffusion models (Kingma et al. 2021, "Variational diffusion models"). Its noise is turned with the image:
    of what chance adds to the errors most is common to them, and cancels.
    """

    name = "symmetry-ratio"
    capabilities: ClassVar[tuple[type, ...]] = (Density, Energy, Denoiser)

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """The ratio, with the energies of turned images beside that of these."""
        if (format_of(prior).axes or images.ndim - 1) < 2:
            raise ShapeError(f"{self.name} turns images, (H, W) or (C, H, W); got {tuple(images.shape[1:])}.")
        found = torch.stack([energy, *(_energy(prior, each, k) for k, each in turns(images).items())])
        return torch.logsumexp(-found, 0) - math.log(len(found)) + energy

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        return self.given(prior, images, _energy(prior, images))


def turns(images: Tensor) -> dict[int, Tensor]:
    """Images turned by one to three quarters of a circle, or by a half where they are not square."""
    square = images.shape[-1] == images.shape[-2]
    return {k: images.rot90(k, (-2, -1)).contiguous() for k in ((1, 2, 3) if square else (2,))}


def _energy(prior: Any, images: Tensor, turned: int = 0) -> Tensor:
    """``-log p``, or where there is no density, one term of its bound; of images that are turned."""
    if has_likelihood(prior):
        return minus_log_prob(prior, images)
    statistic = ReconstructionError(draws=_DRAWS)
    return statistic.denoising_error(prior, images, turned) / (2 * statistic.sigma**2)
