"""What autoencoders with Gaussian latent variables have in common: loss, samples, and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.priors.generators.latents import NormalLatents
from invgen.priors.trainable import Lesson
from invgen.priors.vae.base import PixelDecoder

__all__ = ["GaussianAutoencoder", "Posterior", "divergence"]

#: Samples of the latent variables, and the seed, of `GaussianAutoencoder.log_prob`.
_SAMPLES, _SEED = 64, 0


class Posterior(NamedTuple):
    """A Gaussian distribution of independent latent variables.

    Attributes
    ----------
    mean, std : tensor, shape (*batch, latent)
    """

    mean: Tensor
    std: Tensor


class GaussianAutoencoder(PixelDecoder, NormalLatents):
    """Base of priors whose network decodes images from a vector of standard Gaussian numbers.

    A subclass gives the number of these, as `latent_shape`, and what is drawn from the posterior of images.

    Parameters
    ----------
    network : torch.nn.Module
        ``decoder(numbers)`` returns the parameters of the pixels, and ``forward(images, noise)`` what
        `_divergence` takes, and these parameters. It sees images as channels in the unit -1 to 1.
    """

    def encode(self, x: Tensor) -> Posterior:
        """An approximate posterior of the latent variables of images ``(*batch, *image)``."""
        raise NotImplementedError

    def _divergence(self, *drawn: Any) -> Tensor:
        """An estimate, by one draw, of the divergence of the posterior from the prior, (N,)."""
        raise NotImplementedError

    def _learned_divergence(self, *drawn: Any) -> Tensor:
        """What the loss has in its place, the mean of a batch."""
        return self._divergence(*drawn).mean()

    def _posterior(self, network: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent variables that pixels are decoded from."""
        raise NotImplementedError

    def _log_weights(
        self, network: Any, images: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor
    ) -> Tensor:
        """Logarithms of ``p(x, z) / q(z | x)`` at draws by noise (K, N, latent), (K, N)."""
        raise NotImplementedError

    def lessons(self) -> Mapping[str, Lesson]:
        """Encoder and decoder learn together, by `loss`."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Minus the evidence lower bound, Kingma and Welling (2014), eq. 7 and 10.

        In bits per pixel and channel, with one sample of the latent variables for each image; of densities in
        the unit of the network.
        """
        noise = torch.randn(len(images), self.latent_shape[0], generator=generator, device=images.device)
        *drawn, parameters = networks["network"](images, noise)
        nll = self._observation.nll(images, parameters.float()).mean()
        return (nll + self._learned_divergence(*drawn)) / (self._size * math.log(2))

    def _decoder(self, like: Tensor) -> nn.Module:
        network: nn.Module = self._network(like).decoder
        return network

    def _outputs(self, z: Tensor) -> Tensor:
        return self._evaluating(z, part="decoder")(z)

    def _decoded(self, outputs: Tensor) -> Tensor:
        """Mean images."""
        return self._images(self._observation.mean(outputs), (len(outputs),))

    def _drawn(self, seeds: Sequence[int], device: torch.device | str | None) -> tuple[Tensor, Draws]:
        draws = Draws(seeds)
        return self._outputs(draws(torch.empty(len(seeds), *self.latent_shape, device=device))), draws

    def reconstruct(self, x: Tensor) -> Tensor:
        """Mean images of the mean latent variables of images ``(*batch, *image)``."""
        return self.decode(self.encode(x).mean)

    def elbo(self, x: Tensor, seed: int = 0) -> Tensor:
        """The evidence lower bound of images, by one sample of the latent variables, shape of the batch.

        Kingma and Welling (2014), eq. 7, with the divergence of the posterior from the prior in closed form
        as far as there is one. In expectation over seeds at most the logarithm of the probability of the
        image, for images of a number of levels, else of its density, in the images' unit.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        seed : int
            All images get the same random numbers.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "elbo")
        network = self._network(seen)

        def bound(part: Tensor) -> Tensor:
            *drawn, parameters = network(part, self._noise(part, [seed])[0])
            return -self._observation.nll(part, parameters) - self._divergence(*drawn)

        return self._in_parts(bound, seen).reshape(batch) - self._log_unit

    def log_prob_bound(self, x: Tensor, samples: int = _SAMPLES, seed: int = _SEED) -> Tensor:
        """The importance-weighted bound of images, Burda, Grosse and Salakhutdinov (2016), eq. 8.

        The logarithm of the mean of ``p(x, z_k) / q(z_k | x)`` over samples z_k of the posterior. In
        expectation over seeds a lower bound as `elbo` is, which it equals in expectation for one sample; it
        rises with the number of samples towards the logarithm of the probability, or the density, itself.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        samples : int
        seed : int
            Sample k follows from ``seed + k``, with the same random numbers for all images.

        Returns
        -------
        tensor, shape of the batch

        Raises
        ------
        DtypeError, ShapeError, DataError, ParameterError
        """
        seen, batch = self._seen(x, "log_prob_bound")
        samples, network = as_count(samples, "samples"), self._network(seen)

        def bound(part: Tensor) -> Tensor:
            posterior = self._posterior(network, part)
            at_once = max(1, self._at_once // max(1, len(part)))
            weights = []
            for first in range(0, samples, at_once):
                noise = self._noise(part, range(seed, seed + samples)[first : first + at_once])
                weights.append(self._log_weights(network, part, posterior, noise))
            return torch.logsumexp(torch.cat(weights), 0) - math.log(samples)

        return self._in_parts(bound, seen).reshape(batch) - self._log_unit

    def log_prob(self, x: Tensor) -> Tensor:
        """`log_prob_bound` with 64 samples and the seed 0: in expectation a lower bound, not the value.

        Of the logarithm of the probability of images of a number of levels, else of the density in the
        images' unit. Between the levels it is interpolated, so that it has a derivative.
        """
        return self.log_prob_bound(x)

    def _noise(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Standard Gaussian numbers (seeds, N, latent), the same for all images."""
        like = images.new_empty(len(seeds), len(images), *self.latent_shape)
        return Draws(seeds, axes=1, device=images.device)(like)


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """From the standard Gaussian, Kingma and Welling (2014), appendix B."""
    return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2
