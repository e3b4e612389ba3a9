"""Images as the code of latent variables and of pixels given these, with the bits of the choice got back."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.core.errors import FileError
from invgen.plausibility.compression import frequencies, tables
from invgen.plausibility.compression.coders import Stack, less_one
from invgen.plausibility.compression.exact import BITS, Exact, exact_copy
from invgen.plausibility.compression.fingerprints import fingerprint_of, parameters_of
from invgen.plausibility.compression.memory import images_at_once
from invgen.plausibility.compression.pixels import Pixels, fill, of_coded
from invgen.priors.vae import VAE, HierarchicalVAE

__all__ = ["BitsBackCode", "hierarchical_vae_code", "vae_code"]

#: Bins of the last level of latent variables, of equal mass under the standard Gaussian.
_TOP = 2**10

#: Bins of the levels below, from -16 to 16. The least deviation of a posterior is more than their width.
_BELOW, _WIDTH = 2**9, 2**-4

#: Images of a step, and the pixels of a chunk, at most.
_AT_ONCE, _PIXELS = 64, 2**22


@dataclass(frozen=True)
class _Bins:
    """Intervals of a latent variable, by the values between them and one within each."""

    edges: Tensor
    centers: Tensor


def _of_equal_mass() -> _Bins:
    quantiles = torch.tensor(tables.normal_quantiles(2 * _TOP), dtype=torch.float64) / 2**BITS
    return _Bins(quantiles[1::2], quantiles[::2])


def _of_equal_width() -> _Bins:
    places = torch.arange(1, 2 * _BELOW, dtype=torch.float64) * (_WIDTH / 2) - _BELOW * _WIDTH / 2
    return _Bins(places[1::2], places[::2])


@dataclass(frozen=True)
class _Level:
    """The latent variables of one level.

    Attributes
    ----------
    encoder : callable
        Values of the level below, or images, to mean and log variance.
    decoder : callable
        Values to mean and log variance of the level below, or to the parameters of pixels.
    shape : tuple of int
        Of the latent variables of an image.
    bins : _Bins
    """

    encoder: Callable[[Tensor], tuple[Tensor, Tensor]]
    decoder: Callable[[Tensor], Any]
    shape: tuple[int, ...]
    bins: _Bins

    @property
    def count(self) -> int:
        """Latent variables of an image."""
        return math.prod(self.shape)

    def values(self, chosen: np.ndarray) -> Tensor:
        """Latent variables ``(N, *shape)`` by their bins, ``(N count,)``."""
        return self.bins.centers[torch.from_numpy(chosen).long()].reshape(-1, *self.shape)

    def rows(self, mean: Tensor, log_variance: Tensor) -> np.ndarray:
        """Frequencies less one of the bins of all latent variables, ``(N count, bins)``."""
        return less_one(frequencies.normal(mean, log_variance, self.bins.edges))

    def posterior(self, below: Tensor) -> np.ndarray:
        """`rows` given the level below."""
        with Exact():
            found = self.encoder(below)
        return self.rows(*found)


class BitsBackCode:
    """Bits back with asymmetric numeral systems, Townsend, Bird and Barber (2019), for one level or several.

    The latent variables of an image are drawn from their posterior by bits of the stack that holds the images
    before it; the decoder, which knows the image in the end, gives these bits back. An image then takes as
    many bits as its negative evidence lower bound. Bins of the last level have equal mass under their prior,
    so that each takes 10 bits.

    Several levels take turns, Kingma, Abbeel and Ho (2019), "Bit-Swap", algorithm 1: the first is drawn, the
    pixels are pushed given it, the second is drawn, the first is pushed given that, and so on. What has been
    pushed pays for the next draw: the stack must hold the bits of two levels, however many there are.

    Several images at a time take the bits of the stack, as many as it has bits for. Where there are not
    enough even for one, as for the first image, the most probable latent variables are taken in place of a
    draw, level by level until there are, and no bits of these are given back: no bits from elsewhere are
    needed. A draw that takes more than are there all the same goes on with zeros; to push what was drawn
    takes them away again.

    The code begins with the number of these steps (4 bytes), and a byte for each: the number of images, 1 to
    64; for a single image 0 where no level is drawn, or 64 and the number of levels that are not.

    Parameters
    ----------
    prior : VAE or HierarchicalVAE
    network : torch.nn.Module
        An `exact_copy` of its network.
    encoders, decoders : sequence of callables
        Of each level, the one next to the image first.
    shapes : sequence of tuples
        Of the latent variables.
    """

    def __init__(
        self,
        prior: VAE | HierarchicalVAE,
        network: Any,
        encoders: Sequence[Any],
        decoders: Sequence[Any],
        shapes: Sequence[tuple[int, ...]],
    ) -> None:
        images = prior.image_format
        assert images.shape is not None
        self._pixels = Pixels(prior)
        bins = [*[_of_equal_width()] * (len(shapes) - 1), _of_equal_mass()]
        self._levels = [_Level(*each) for each in zip(encoders, decoders, shapes, bins, strict=True)]
        self._uniform = np.full((1, _TOP), frequencies.TOTAL / _TOP - 1, dtype=np.float32)
        counts = [level.count for level in self._levels]
        # of all latent variables of two levels in turn, more than a draw of them takes
        self._bits = math.ceil(math.log2(_TOP)) * max(map(sum, pairwise([0, *counts])))
        self._per_step = min(
            _AT_ONCE,
            images_at_once(images.shape, self._pixels.levels),
            *(images_at_once(level.shape, len(level.bins.centers)) for level in self._levels),
        )
        self.fingerprint = fingerprint_of(prior, **parameters_of(network))
        self.at_once = max(1, _PIXELS // math.prod(images.shape))
        self.symbols = math.prod(images.shape) + sum(counts)

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        stack, steps, first = Stack(), [], 0
        while first < len(images):
            count = max(1, min(len(images) - first, self._per_step, stack.bits // self._bits))
            part = slice(first, first + count)
            chosen = self._push(stack, images[part], coded[part])
            steps.append(_step(count, chosen, len(self._levels)))
            first = part.stop
        return struct.pack(f"<I{len(steps)}B", len(steps), *steps) + stack.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        steps, words = _steps(data, len(images), len(self._levels))
        stack, last = Stack(words), len(images)
        for count, chosen in reversed(steps):
            part = slice(last - count, last)
            self._pop(stack, images[part], coded[part], chosen)
            last = part.start
        if stack.bits:
            raise FileError("The compressed pixels go on after the last one.")

    def _push(self, stack: Stack, images: Tensor, coded: Tensor) -> int:
        """Push images; returns the number of levels that are chosen and not drawn."""
        chosen, bins, below = 0, np.empty(0, np.int32), self._pixels.values[images]
        for i, level in enumerate(self._levels):
            posterior, lower = level.posterior(below), bins
            if len(images) == 1 and chosen == i and stack.bits < _bits_of_draw(posterior):
                bins, chosen = _most_probable(posterior), i + 1
            else:
                bins = stack.pop(posterior)
            below = level.values(bins)
            if i == 0:
                stack.push(*self._of_pixels(images, coded, below))
            else:
                stack.push(lower, self._below(i, below))
        stack.push(bins, self._uniform.repeat(len(bins), axis=0))
        return chosen

    def _pop(self, stack: Stack, images: Tensor, coded: Tensor, chosen: int) -> None:
        """Fill in the pixels of images, and give back the bits of the levels that are drawn."""
        bins = stack.pop(self._uniform.repeat(len(images) * self._levels[-1].count, axis=0))
        for i, level in reversed(list(enumerate(self._levels))):
            values = level.values(bins)
            if i == 0:
                lower = bins
                fill(images, coded, stack.pop(self._of_pixels(images, coded, values)[1]))
                posterior = level.posterior(self._pixels.values[images])
            else:
                lower = stack.pop(self._below(i, values))
                posterior = level.posterior(self._levels[i - 1].values(lower))
            if i >= chosen:
                stack.push(bins, posterior)
            elif not np.array_equal(bins, _most_probable(posterior)):
                raise FileError("The compressed pixels contradict themselves.")
            bins = lower

    def _of_pixels(self, images: Tensor, coded: Tensor, first: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Pixels that are coded, and their frequencies given the first level."""
        return of_coded(images, coded, self._pixels.given(self._levels[0].decoder, first))

    def _below(self, i: int, values: Tensor) -> np.ndarray:
        """Frequencies less one of the bins of the level below level i, given the values of this."""
        with Exact():
            found = self._levels[i].decoder(values)
        return self._levels[i - 1].rows(*found)


def vae_code(prior: VAE) -> BitsBackCode:
    """Of one level."""
    network = exact_copy(prior._networks()["network"])
    return BitsBackCode(prior, network, [network.encoder], [network.decoder], [prior.latent_shape])


def hierarchical_vae_code(prior: HierarchicalVAE) -> BitsBackCode:
    """Of all levels."""
    network: Any = exact_copy(prior._networks()["network"])
    decoders = [network.decoder.pixels, *network.decoder.levels]
    return BitsBackCode(prior, network, network.encoders, decoders, prior.latent_shapes)


def _most_probable(rows: np.ndarray) -> np.ndarray:
    return rows.argmax(-1).astype(np.int32)


def _bits_of_draw(rows: np.ndarray) -> int:
    """About the bits that a draw takes: those of the most probable bins, and 3/4 of a bit for each.

    The entropy of a Gaussian is 0.72 bits more than its mode takes. Whole numbers are the same on every
    machine.
    """
    mantissas, exponents = np.frexp(rows.max(-1) + 1)
    of_modes = frequencies.PRECISION - exponents + (mantissas < math.sqrt(0.5))
    return int(of_modes.sum()) + 3 * len(rows) // 4


def _step(count: int, chosen: int, levels: int) -> int:
    """The byte of a step."""
    if not chosen:
        return count
    return 0 if chosen == levels else _AT_ONCE + chosen


def _steps(data: bytes, images: int, levels: int) -> tuple[list[tuple[int, int]], bytes]:
    """Images of each step and levels that are chosen and not drawn, and the words of the stack.

    Raises
    ------
    FileError
    """
    if len(data) < 4 or len(data) < 4 + (count := struct.unpack_from("<I", data)[0]):
        raise FileError("The compressed pixels are truncated.")
    steps = [
        (step, 0) if 0 < step <= _AT_ONCE else (1, max(0, step - _AT_ONCE) or levels)
        for step in data[4 : 4 + count]
    ]
    if sum(step for step, _ in steps) != images or any(chosen > levels for _, chosen in steps):
        raise FileError("The compressed pixels contradict themselves.")
    return steps, data[4 + count :]
