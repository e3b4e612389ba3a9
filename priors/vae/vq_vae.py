"""Autoencoders with discrete codes: images from a map of vectors out of a codebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.draws import Draws
from invgen.core.errors import DtypeError
from invgen.priors.autoregressive.sampling import Uniforms, continued
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.categorical import drawn
from invgen.priors.nets.masked import GatedMaskedCNN
from invgen.priors.nets.vector_quantization import VectorQuantizedAutoencoder
from invgen.priors.trainable import Lesson, seeded
from invgen.priors.vae.base import PixelDecoder, decoded_format
from invgen.priors.vae.observations import observation_model

__all__ = ["VQVAE"]

#: Weight of the commitment, eq. 3: "results did not vary for values from 0.1 to 2.0".
_COMMITMENT = 0.25


@dataclass(frozen=True)
class _Codes:
    """Distributions of codes, by logits ``(N, codes, h, w)``; a code is one of so many channels."""

    logits: Tensor

    def log_prob(self, chosen: Tensor) -> Tensor:
        """Logarithm of the probability of each code, ``(N, h, w)``."""
        return (chosen * F.log_softmax(self.logits, dim=1)).sum(1)

    def sample(self, uniform: Tensor) -> Tensor:
        """Codes that are drawn by uniform numbers ``(N, 1, h, w)``."""
        return _one_hot(drawn(self.logits, uniform), self.logits, self.logits.shape[1])


class VQVAE(PixelDecoder):
    """A vector-quantized variational autoencoder, van den Oord, Vinyals and Kavukcuoglu (2017).

    A network encodes images as maps of features, takes the closest vector of a codebook for each, and decodes
    the parameters of independent pixels from these vectors. Another one is the prior of maps of codes, each
    predicted from those before it. A `Generator` and a `Sampler`; by a bound from below, a `Density`.

    Latent variables are vectors ``(*batch, code_width, h, w)``: `decode` takes the closest one of the
    codebook for each, and passes the gradient on as if it had not: finite differences are others.

    Parameters
    ----------
    autoencoder : VectorQuantizedAutoencoder
    codes : GatedMaskedCNN
        The prior of the codes, each as one of so many channels.
    image_format, observation, mixtures
        Of the images and their pixels: see `invgen.priors.vae.base.PixelDecoder`.

    Raises
    ------
    DtypeError, ParameterError
    """

    family = "vq-vae"

    def __init__(
        self,
        autoencoder: nn.Module,
        codes: nn.Module,
        image_format: ImageFormat,
        *,
        observation: str = "logistic",
        mixtures: int = 1,
    ) -> None:
        super().__init__(image_format, observation, mixtures, autoencoder=autoencoder, codes=codes)
        for given, kind in ((autoencoder, VectorQuantizedAutoencoder), (codes, GatedMaskedCNN)):
            if not isinstance(given, kind):
                raise DtypeError(f"VQVAE expects a {kind.__name__}; got {type(given).__name__}.")
        self.latent_shape = autoencoder.latent_shape  # type: ignore[assignment]
        self._count = int(autoencoder.config["codes"])  # type: ignore[index]

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        codes: int = 128,
        code_width: int = 32,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
        layers: int = 4,
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
        codes : int
            Number of vectors in the codebook.
        code_width : int
            Length of each.
        widths : sequence of int
            Channels at half, a quarter, ... of the resolution; multiples of 32 are fast.
        blocks : int
            Residual blocks at each resolution.
        layers : int
            Of the prior of the codes.
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
        autoencoder = seeded(
            VectorQuantizedAutoencoder, seed, shape, outputs, codes, code_width, widths, blocks
        )
        size = autoencoder.latent_shape[1:]  # type: ignore[index]
        prior = seeded(GatedMaskedCNN, seed, codes, codes, size, width=64, layers=layers, view=3)
        return cls(autoencoder, prior, images, observation=observation, mixtures=mixtures)

    def lessons(self) -> Mapping[str, Lesson]:
        """The autoencoder by `loss`, and the prior of its codes by `codes_loss`."""
        return {"autoencoder": Lesson(self.loss), "codes": Lesson(self.codes_loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Van den Oord et al. (2017), eq. 3, in bits per pixel and channel.

        In place of its second term moving averages, appendix A.1, move the codebook.
        """
        uniform = torch.rand(self._count, generator=generator, device=images.device)
        features, vectors, _, parameters = networks["autoencoder"](images, uniform)
        commitment = (features - vectors.detach()).square().flatten(1).sum(1)
        nll = self._observation.nll(images, parameters.float())
        return (nll + _COMMITMENT * commitment).mean() / (self._size * math.log(2))

    def codes_loss(
        self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Minus the logarithm of the probability of the codes, sec. 3.3, in the same unit as `loss`."""
        with torch.no_grad():
            _, _, codes, _ = networks["autoencoder"](images)
        chosen = _one_hot(codes, images, self._count)
        found = _Codes(networks["codes"](chosen).float()).log_prob(chosen)
        return -found.flatten(1).sum(1).mean() / (self._size * math.log(2))

    def _decode(self, z: Tensor) -> Tensor:
        """Mean images of the closest vectors; their gradient goes straight through to z, sec. 3.2."""
        network = self._network(z, "autoencoder")
        vectors = network.quantizer.lookup(network.quantizer.nearest(z))
        parameters = self._evaluating(z, "autoencoder", "decoder")(z + (vectors - z).detach())
        return self._images(self._observation.mean(parameters), (len(z),))

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the probability of the codes closest to z, shape of the batch.

        Constant but where the closest code changes: its derivative is zero.
        """
        batch, flat = self._batch(z, "latent_log_prob"), z.reshape(-1, *self.latent_shape)
        quantizer = self._network(z, "autoencoder").quantizer
        found = self._in_parts(lambda part: self._log_prob_of(quantizer.nearest(part), part), flat)
        return (found + 0 * flat.flatten(1).sum(1)).reshape(batch)  # a derivative, for solvers

    def encode(self, x: Tensor) -> Tensor:
        """Vectors of the codebook for images, ``(*batch, code_width, h, w)``.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "encode")
        network = self._network(seen, "autoencoder")

        def encoded(part: Tensor) -> Tensor:
            return network.quantizer.lookup(network.quantizer.nearest(network.encoder(part)))

        return self._in_parts(encoded, seen).reshape(*batch, *self.latent_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Mean images of the codes of images ``(*batch, *image)``."""
        return self.decode(self.encode(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """A lower bound of the log probability of images, or of their log density, shape of the batch.

        The probability is the sum of ``p(codes) p(x | codes)`` over all maps of codes (sec. 3.2); this is the
        logarithm of the term of the codes that the encoder chooses. Densities are in the images' unit.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "log_prob")
        network = self._network(seen, "autoencoder")

        def bound(part: Tensor) -> Tensor:
            codes = network.quantizer.nearest(network.encoder(part))
            parameters = network.decoder(network.quantizer.lookup(codes))
            return self._log_prob_of(codes, part) - self._observation.nll(part, parameters)

        return self._in_parts(bound, seen).reshape(batch) - self._log_unit

    def _drawn(self, seeds: Sequence[int], device: torch.device | str | None) -> tuple[Tensor, Draws]:
        height, width = self.latent_shape[1:]
        start = torch.zeros(len(seeds), self._count, height, width, device=device)
        uniforms = Uniforms(seeds, (0, height, width))
        codes = continued(self._network(start, "codes"), _Codes, start, 0, uniforms).argmax(1)
        vectors = self._network(start, "autoencoder").quantizer.lookup(codes)
        parameters = self._evaluating(start, "autoencoder", "decoder")(vectors)
        return parameters, Draws([_further(seed) for seed in seeds])

    def _log_prob_of(self, codes: Tensor, like: Tensor) -> Tensor:
        """Logarithm of the probability of maps of codes, ``(N,)``."""
        chosen = _one_hot(codes, like, self._count)
        return _Codes(self._network(like, "codes")(chosen)).log_prob(chosen).flatten(1).sum(1)


def _one_hot(codes: Tensor, like: Tensor, count: int) -> Tensor:
    """Codes ``(N, h, w)`` as one of so many channels."""
    return F.one_hot(codes, count).movedim(-1, 1).to(like.dtype)


def _further(seed: int) -> int:
    """The seed of the pixels, whose numbers are others than those of the codes."""
    return int(np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1)[0])
