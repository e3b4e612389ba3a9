"""Hierarchical variational autoencoders: latent variables whose prior has latent variables of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from invgen.core.errors import DtypeError, ParameterError
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.hierarchical import HierarchicalAutoencoder, Level
from invgen.priors.trainable import seeded
from invgen.priors.vae.base import decoded_format
from invgen.priors.vae.gaussian import GaussianAutoencoder, Posterior, divergence
from invgen.priors.vae.observations import observation_model

__all__ = ["HierarchicalVAE"]


class HierarchicalVAE(GaussianAutoencoder):
    """A variational autoencoder with levels of latent variables, Kingma, Abbeel and Ho (2019), "Bit-Swap".

    The levels z_1, ..., z_L are a Markov chain (sec. 2.3): ``p(x | z_1) p(z_1 | z_2) ... p(z_L)``, with the
    approximate posterior ``q(z_1 | x) q(z_2 | z_1) ...``. All are Gaussian, where the paper has logistic
    distributions; images follow a distribution of independent pixels given z_1. A `Generator` and a
    `Sampler`; by its bounds, from below, a `Density`.

    As latent variables of the generator all levels are one vector of standard Gaussian numbers, those of z_L
    first: each level is ``mean + std * numbers``, by the mean and deviation that the level above gives.

    Parameters
    ----------
    network : HierarchicalAutoencoder
        It sees images as channels in the unit -1 to 1.
    image_format, observation, mixtures
        Of the images and their pixels: see `invgen.priors.vae.base.PixelDecoder`.
    free_bits : float
        For each latent variable above the first level, in training: a divergence of so many is no loss.
        Without free bits a network that begins to learn leaves the upper levels unused.

    Attributes
    ----------
    latent_shapes : tuple of tuples
        Of the levels, z_1 first.

    Raises
    ------
    DtypeError, ParameterError
    """

    family = "hierarchical-vae"

    def __init__(
        self,
        network: nn.Module,
        image_format: ImageFormat,
        *,
        observation: str = "logistic",
        mixtures: int = 1,
        free_bits: float = 0.04,
    ) -> None:
        if not isinstance(network, HierarchicalAutoencoder):
            raise DtypeError(
                f"HierarchicalVAE expects a HierarchicalAutoencoder; got {type(network).__name__}."
            )
        super().__init__(image_format, observation, mixtures, network=network)
        self.latent_shapes = network.latent_shapes
        if not 0 <= free_bits < math.inf:
            raise ParameterError(f"free_bits is a number of bits, zero or more; got {free_bits}.")
        self.free_bits = float(free_bits)
        self.latent_shape = (sum(map(math.prod, self.latent_shapes)),)

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return *super()._parameter_names(), "free_bits"

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        latent: Sequence[int] = (4, 4, 4),
        widths: Sequence[int] = (32, 64),
        blocks: int = 1,
        observation: str = "logistic",
        levels: int = 256,
        mixtures: int = 5,
        free_bits: float = 0.04,
        seed: int = 0,
    ) -> Self:
        """A convolutional one, whose weights follow from the seed.

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``: of 4.
        value_range : pair of float
        latent : sequence of int
            Channels of each level, the first of which is next to the image, at the coarsest resolution.
        widths : sequence of int
            Channels of the networks at half, a quarter, ... of the resolution; multiples of 32 are fast.
        blocks : int
            Residual blocks at each resolution, and between levels.
        observation : {"logistic", "bernoulli", "gaussian"}
        levels, mixtures : int
            Of the observation "logistic"; the others have their own.
        free_bits : float
            See the class.
        seed : int

        Raises
        ------
        ShapeError, ParameterError
        """
        images = decoded_format(image_shape, value_range, observation, levels)
        channels = images.network_channels
        outputs = channels * observation_model(observation, images.levels, mixtures).numbers
        shape = (channels, *image_shape[-2:])
        network = seeded(HierarchicalAutoencoder, seed, shape, outputs, latent, widths, blocks)
        return cls(network, images, observation=observation, mixtures=mixtures, free_bits=free_bits)

    def encode(self, x: Tensor) -> Posterior:
        """An approximate posterior of the latent variables of images ``(*batch, *image)``.

        Of each level, where those below are the means of theirs, in the unit of the prior of that level:
        exact for the first level, and for all of them where the posterior is narrow.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "encode")
        network = self._network(seen)

        def encoded(part: Tensor) -> Tensor:
            mean, log_var = network.encoders[0](part)
            levels = network.draw(mean, log_var, part.new_zeros(len(part), *self.latent_shape))
            scales = [(-level.prior_log_var / 2).exp() for level in levels]
            pairs = list(zip(levels, scales, strict=True))[::-1]
            means = [(level.mean - level.prior_mean) * scale for level, scale in pairs]
            stds = [(level.log_var / 2).exp() * scale for level, scale in pairs]
            return torch.cat([each.flatten(1) for each in (*means, *stds)], dim=1)

        return Posterior(*self._in_parts(encoded, seen).reshape(*batch, -1).chunk(2, dim=-1))

    def _divergence(self, *drawn: list[Level]) -> Tensor:
        return torch.stack(_divergences(*drawn)).sum(0)

    def _learned_divergence(self, *drawn: list[Level]) -> Tensor:
        """With free bits, Kingma et al. (2016), eq. 15, for all levels above the first together.

        Their sum is a divergence, of ``q(z_2, ... | z_1)`` from ``p(z_2, ...)``; one level alone is none.
        """
        first, *others = (each.mean() for each in _divergences(*drawn))
        if not others:
            return first
        count = sum(map(math.prod, self.latent_shapes[1:]))
        return first + torch.stack(others).sum().clamp(min=self.free_bits * count * math.log(2))

    def _posterior(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = network.encoders[0](images)
        return mean, log_var

    def _log_weights(
        self, network: Any, images: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor
    ) -> Tensor:
        mean, log_var = (each.expand(len(noise), *each.shape).flatten(0, 1) for each in posterior)
        levels = network.draw(mean, log_var, noise.flatten(0, 1))
        repeated = images.expand(len(noise), *images.shape).flatten(0, 1)
        found = -self._observation.nll(repeated, network.decoder.pixels(levels[0].z))
        for level in levels:
            found = found + _log_density(level.z, level.prior_mean, level.prior_log_var)
            found = found - _log_density(level.z, level.mean, level.log_var)
        return found.reshape(len(noise), -1)


def _divergences(levels: list[Level]) -> list[Tensor]:
    """An estimate for each level, (N,), whose sum is the divergence of the posterior from the prior.

    At the top in closed form, as are the entropies below; the logarithms of the priors by the draw.
    """
    *lower, top = levels
    found = []
    for level in lower:
        entropy = (1 + math.log(2 * math.pi) + level.log_var).flatten(1).sum(1) / 2
        found.append(-entropy - _log_density(level.z, level.prior_mean, level.prior_log_var))
    return [*found, divergence(top.mean.flatten(1), top.log_var.flatten(1))]


def _log_density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Of independent Gaussian variables, (N,)."""
    each = (z - mean).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)
    return -each.flatten(1).sum(1) / 2
