"""Images as the code of latent variables and of pixels given these, with the bits of the choice got back."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.errors import CapabilityError, FileError
from invgen.plausibility.compression import frequencies, tables
from invgen.plausibility.compression.autoregressive import Maps
from invgen.plausibility.compression.coders import Decoder, Encoder, Stack, less_one
from invgen.plausibility.compression.exact import BITS, Exact, exact_copy
from invgen.plausibility.compression.fingerprints import fingerprint_of, parameters_of
from invgen.plausibility.compression.memory import images_at_once, parts
from invgen.priors.vae import VAE, VQVAE
from invgen.priors.vae.base import PixelDecoder

__all__ = ["VAECode", "VQVAECode"]

#: Bins of equal mass of the standard Gaussian in which latent variables are counted, and bits of one bin.
_BINS = 2**10
_BIN_BITS = 10

#: Images whose pixels' frequencies are kept at once, and the pixels of a chunk.
_AT_ONCE, _PIXELS = 64, 2**22


class _Pixels:
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


class VAECode:
    """Bits back with asymmetric numeral systems, Townsend, Bird and Barber (2019), of a `VAE`.

    The latent variables of an image are drawn from their posterior by bits of the stack that holds the images
    before it; the decoder, which knows the image in the end, gives these bits back. An image then takes as
    many bits as its negative evidence lower bound. Bins of latent variables have equal mass under their
    prior, so that each takes 10 bits.

    Several images at a time take the bits of the stack, as many as it has bits for. Where there are not
    enough, as for the first image, the most probable latent variables are taken in place of a draw, and no
    bits are given back: no bits from elsewhere are needed. A draw that takes more than are there all the same
    goes on with zeros; to push what was drawn takes them away again. The code begins with the number of these
    steps (4 bytes), and the number of images of each (1 byte), or zero for one image without bits back.
    """

    def __init__(self, prior: VAE) -> None:
        images = prior.image_format
        assert images.shape is not None
        self._pixels, self._network = _Pixels(prior), exact_copy(prior._networks()["network"])
        self._latent = prior.latent_shape[0]
        centers = tables.normal_quantiles(2 * _BINS)[::2]
        self._centers = torch.tensor(centers, dtype=torch.float64) / 2**BITS
        self._uniform = np.full((1, _BINS), frequencies.TOTAL / _BINS - 1, dtype=np.float32)
        self._per_step = min(_AT_ONCE, images_at_once(images.shape, self._pixels.levels))
        self.fingerprint = fingerprint_of(prior, **parameters_of(self._network))
        self.at_once = max(1, _PIXELS // math.prod(images.shape))

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        stack, steps, first = Stack(), [], 0
        while first < len(images):
            count = min(len(images) - first, self._per_step, stack.bits // (_BIN_BITS * self._latent))
            steps.append(count)
            part = slice(first, first + max(1, count))
            posterior = self._posterior(images[part])
            bins = stack.pop(posterior) if count else _most_probable(posterior)
            symbols, rows = _of_coded(images[part], coded[part], self._given(bins))
            stack.push(symbols, rows)
            stack.push(bins, self._uniform.repeat(len(bins), axis=0))
            first = part.stop
        return struct.pack(f"<I{len(steps)}B", len(steps), *steps) + stack.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        steps, words = _steps(data, len(images))
        stack, last = Stack(words), len(images)
        for count in reversed(steps):
            part = slice(last - max(1, count), last)
            latent = (part.stop - part.start) * self._latent
            bins = stack.pop(self._uniform.repeat(latent, axis=0))
            _, rows = _of_coded(images[part], coded[part], self._given(bins))
            _fill(images[part], coded[part], stack.pop(rows))
            posterior = self._posterior(images[part])
            if count:
                stack.push(bins, posterior)
            elif not np.array_equal(bins, _most_probable(posterior)):
                raise FileError("The compressed pixels contradict themselves.")
            last = part.start
        if stack.bits:
            raise FileError("The compressed pixels go on after the last one.")

    def _posterior(self, images: Tensor) -> np.ndarray:
        """Frequencies less one of the bins of all latent variables, (N latent, bins)."""
        with Exact():
            mean, log_variance = self._network.encoder(self._pixels.values[images])  # type: ignore[operator]
        return less_one(frequencies.normal(mean, log_variance, _BINS))

    def _given(self, bins: np.ndarray) -> Tensor:
        """Frequencies of pixels by the bins of the latent variables, (N latent,)."""
        z = self._centers[torch.from_numpy(bins).long()].reshape(-1, self._latent)
        return _given(self._network.decoder, z, self._pixels)


class VQVAECode:
    """The code of a `VQVAE`: that of the map of codes by their own prior, then the pixels given the codes."""

    def __init__(self, prior: VQVAE) -> None:
        images, networks = prior.image_format, prior._networks()
        assert images.shape is not None
        self._pixels = _Pixels(prior)
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

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        with Exact():
            features = self._autoencoder.encoder(self._pixels.values[images])
        codes, coder = self._nearest(features), Encoder()
        self._maps.encode(coder, codes, torch.ones(codes[:, 0].shape, dtype=torch.bool))
        coder.write(*_of_coded(images, coded, self._given(codes)))
        return coder.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        decoder = Decoder(data)
        codes = torch.zeros(len(images), 1, *self._size, dtype=torch.long)
        self._maps.decode(decoder, codes, torch.ones(codes[:, 0].shape, dtype=torch.bool))
        _, rows = _of_coded(images, coded, self._given(codes))
        _fill(images, coded, decoder.read(rows))
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
        return _given(
            self._autoencoder.decoder, self._autoencoder.quantizer.lookup(codes[:, 0]), self._pixels
        )


def _given(decoder: Any, latent: Tensor, pixels: _Pixels) -> Tensor:
    """Frequencies of pixels, ``(N, C, H, W, levels)``, float32, some of them at a time."""
    found = []
    for some in parts(len(latent), pixels.count, pixels.levels):
        with Exact():
            parameters = decoder(latent[some])
        n, height = len(parameters), parameters.shape[-2]
        lines = parts(height, n * pixels.count // height, pixels.levels)
        found.append(torch.cat([pixels.frequencies(parameters[..., each, :]).float() for each in lines], 2))
    return torch.cat(found)


def _most_probable(rows: np.ndarray) -> np.ndarray:
    return rows.argmax(-1).astype(np.int32)


def _of_coded(images: Tensor, coded: Tensor, given: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that are coded, and their frequencies less one, ``(N, C, H, W)`` in order."""
    which = coded[:, None].expand_as(images)
    return images[which].numpy().astype(np.int32), less_one(given[which])


def _fill(images: Tensor, coded: Tensor, symbols: np.ndarray) -> None:
    images[coded[:, None].expand_as(images)] = torch.from_numpy(symbols).long()


def _steps(data: bytes, images: int) -> tuple[list[int], bytes]:
    """Numbers of images in each step, and the words of the stack.

    Raises
    ------
    FileError
    """
    if len(data) < 4 or len(data) < 4 + (count := struct.unpack_from("<I", data)[0]):
        raise FileError("The compressed pixels are truncated.")
    steps = list(data[4 : 4 + count])
    if sum(max(1, step) for step in steps) != images or max(steps, default=0) > _AT_ONCE:
        raise FileError("The compressed pixels contradict themselves.")
    return steps, data[4 + count :]
