"""Independent pixels given what a network decodes, as symbols with frequencies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.plausibility.compression import frequencies
from invgen.plausibility.compression.coders import less_one
from invgen.plausibility.compression.exact import Exact
from invgen.plausibility.compression.memory import parts
from invgen.priors.vae.base import PixelDecoder

__all__ = ["Pixels", "fill", "of_coded"]


class Pixels:
    """Frequencies of independent pixels, given what a decoder returns for each.

    Raises
    ------
    CapabilityError
        For pixels of real numbers.
    """

    def __init__(self, prior: PixelDecoder) -> None:
        images = prior.image_format
        if images.levels is None:
            raise CapabilityError(
                f"The pixels of {prior} are real numbers: images compress that have a number of levels, with "
                "the observation 'logistic' or 'bernoulli'."
            )
        self.levels, self._mixtures, self._kind = images.levels, prior.mixtures, prior.observation
        self._channels, self.count = images.network_channels, math.prod(images.shape or ())
        self.values = frequencies.level_values(images.levels)

    def frequencies(self, parameters: Tensor) -> Tensor:
        """Of all levels of each pixel, ``(N, C, H, W, levels)``."""
        if self._kind == "bernoulli":
            return frequencies.bernoulli(parameters)
        each = parameters.unflatten(1, (3, self._mixtures, self._channels)).movedim(2, -1)
        logits, means, log_scales = each.unbind(1)
        return frequencies.logistics(logits, means, log_scales, self.levels)

    def given(self, decoder: Any, latent: Tensor) -> Tensor:
        """Frequencies of pixels, ``(N, C, H, W, levels)``, float32, some of them at a time."""
        found = []
        for some in parts(len(latent), self.count, self.levels):
            with Exact():
                parameters = decoder(latent[some])
            n, height = len(parameters), parameters.shape[-2]
            lines = parts(height, n * self.count // height, self.levels)
            found.append(torch.cat([self.frequencies(parameters[..., each, :]).float() for each in lines], 2))
        return torch.cat(found)


def of_coded(images: Tensor, coded: Tensor, given: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that are coded, and their frequencies less one, ``(N, C, H, W)`` in order."""
    which = coded[:, None].expand_as(images)
    return images[which].numpy().astype(np.int32), less_one(given[which])


def fill(images: Tensor, coded: Tensor, symbols: np.ndarray) -> None:
    """Put symbols in the pixels that are coded."""
    images[coded[:, None].expand_as(images)] = torch.from_numpy(symbols).long()
