"""Images as the code of a map of codes, and of pixels given these."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.plausibility.compression import frequencies
from invgen.plausibility.compression.autoregressive import Maps
from invgen.plausibility.compression.coders import Decoder, Encoder
from invgen.plausibility.compression.exact import Exact, exact_copy
from invgen.plausibility.compression.fingerprints import fingerprint_of, parameters_of
from invgen.plausibility.compression.memory import images_at_once
from invgen.plausibility.compression.pixels import Pixels, fill, of_coded
from invgen.priors.vae import VQVAE

__all__ = ["VQVAECode"]


class VQVAECode:
    """The code of a `VQVAE`: that of the map of codes by their own prior, then the pixels given the codes."""

    def __init__(self, prior: VQVAE) -> None:
        images, networks = prior.image_format, prior._networks()
        assert images.shape is not None
        self._pixels = Pixels(prior)
        self._autoencoder: Any = exact_copy(networks["autoencoder"])
        codes: Any = exact_copy(networks["codes"])
        count = int(self._autoencoder.config["codes"])  # type: ignore[index]
        self._maps = Maps(
            codes,
            count,
            lambda maps: F.one_hot(maps[:, 0], count).movedim(-1, 1).double(),
            lambda outputs, seen, channel: frequencies.softmax(outputs.movedim(1, -1)),
        )
        self._size = prior.latent_shape[1:]
        self.fingerprint = fingerprint_of(
            prior, **parameters_of(self._autoencoder, "autoencoder."), **parameters_of(codes, "codes.")
        )
        self.at_once = images_at_once(images.shape, self._pixels.levels)
        self.symbols = self._pixels.count + math.prod(self._size)

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        with Exact():
            features = self._autoencoder.encoder(self._pixels.values[images])
        codes, coder = self._nearest(features), Encoder()
        self._maps.encode(coder, codes, torch.ones(codes[:, 0].shape, dtype=torch.bool))
        coder.write(*of_coded(images, coded, self._given(codes)))
        return coder.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        decoder = Decoder(data)
        codes = torch.zeros(len(images), 1, *self._size, dtype=torch.long)
        self._maps.decode(decoder, codes, torch.ones(codes[:, 0].shape, dtype=torch.bool))
        _, rows = of_coded(images, coded, self._given(codes))
        fill(images, coded, decoder.read(rows))
        decoder.check_end()

    def _nearest(self, features: Tensor) -> Tensor:
        """Codes ``(N, 1, h, w)`` of the closest vectors; the sums, of values within 2 ** 6, are exact."""
        rows = features.movedim(1, -1)[..., None, :].clamp(-64, 64)
        distances = torch.stack(
            [(rows - each).square_().sum(-1)[..., 0] for each in self._autoencoder.quantizer.codebook], -1
        )
        return torch.from_numpy(distances.numpy().argmin(-1))[:, None]

    def _given(self, codes: Tensor) -> Tensor:
        """Frequencies of pixels by the codes."""
        latent = self._autoencoder.quantizer.lookup(codes[:, 0])
        return self._pixels.given(self._autoencoder.decoder, latent)
