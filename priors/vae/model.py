"""Variational autoencoders: images from latent variables with a Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.trainable import seeded
from invgen.priors.vae.base import decoded_format
from invgen.priors.vae.gaussian import GaussianAutoencoder, Posterior, divergence
from invgen.priors.vae.observations import observation_model

__all__ = ["VAE"]


class VAE(GaussianAutoencoder):
    """A variational autoencoder, Kingma and Welling (2014).

    Latent variables z are standard Gaussian, and images follow a distribution of independent pixels whose
    parameters a network decodes from z; another network encodes an approximate posterior of z. A `Generator`
    and a `Sampler`; by its bounds, from below, a `Density`.

    Parameters
    ----------
    network : torch.nn.Module
        Such as `invgen.priors.nets.VariationalAutoencoder`: ``encoder(images)`` returns mean and log variance
        ``(N, latent)``, ``decoder(z)`` the parameters of the pixels, ``forward(images, noise)`` all three,
        and ``latent`` is the number of latent variables. It sees images as channels in the unit -1 to 1.
    image_format, observation, mixtures
        Of the images and their pixels: see `invgen.priors.vae.base.PixelDecoder`.

    Raises
    ------
    ParameterError
    """

    family = "vae"

    def __init__(
        self,
        network: nn.Module,
        image_format: ImageFormat,
        *,
        observation: str = "logistic",
        mixtures: int = 1,
    ) -> None:
        super().__init__(image_format, observation, mixtures, network=network)
        self.latent_shape = (as_count(network.latent, "latent, the number of latent variables,"),)

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        latent: int = 32,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
        observation: str = "logistic",
        levels: int = 256,
        mixtures: int = 3,
        seed: int = 0,
    ) -> Self:
        """A convolutional one, whose weights follow from the seed.

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``: of 4.
        value_range : pair of float
        latent : int
            Number of latent variables.
        widths : sequence of int
            Channels at half, a quarter, ... of the resolution; multiples of 32 are fast.
        blocks : int
            Residual blocks at each resolution.
        observation : {"logistic", "bernoulli", "gaussian"}
        levels, mixtures : int
            Of the observation "logistic"; the others have their own.
        seed : int

        Raises
        ------
        ShapeError, ParameterError
        """
        images = decoded_format(image_shape, value_range, observation, levels)
        channels = images.network_channels
        outputs = channels * observation_model(observation, images.levels, mixtures).numbers
        shape = (channels, *image_shape[-2:])
        network = seeded(VariationalAutoencoder, seed, shape, outputs, latent, widths, blocks)
        return cls(network, images, observation=observation, mixtures=mixtures)

    def encode(self, x: Tensor) -> Posterior:
        """The approximate posterior of the latent variables of images ``(*batch, *image)``.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "encode")
        encoder = self._network(seen).encoder
        found = self._in_parts(lambda part: torch.cat(encoder(part), dim=1), seen)
        mean, log_var = found.reshape(*batch, -1).chunk(2, dim=-1)
        return Posterior(mean, (log_var / 2).exp())

    def _divergence(self, *drawn: Tensor) -> Tensor:
        return divergence(*drawn)

    def _posterior(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = network.encoder(images)
        return mean, log_var

    def _log_weights(
        self, network: Any, images: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor
    ) -> Tensor:
        mean, log_var = posterior
        z = mean + (log_var / 2).exp() * noise
        repeated = images.expand(len(noise), *images.shape).flatten(0, 1)
        nll = self._observation.nll(repeated, network.decoder(z.flatten(0, 1))).reshape(len(noise), -1)
        return _standard_normal(z) - nll - _standard_normal(noise) + log_var.sum(-1) / 2


def _standard_normal(z: Tensor) -> Tensor:
    """Logarithm of the standard Gaussian density, over the last axis."""
    return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2
