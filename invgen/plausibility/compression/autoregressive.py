"""Images as the range code of their pixels, each by its probability given those before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.plausibility.compression import frequencies
from invgen.plausibility.compression.coders import Decoder, Encoder, less_one
from invgen.plausibility.compression.exact import Exact, exact_copy
from invgen.plausibility.compression.fingerprints import fingerprint_of, parameters_of
from invgen.plausibility.compression.memory import images_at_once, parts
from invgen.priors.autoregressive import Autoregressive
from invgen.priors.autoregressive.sampling import Reader
from invgen.priors.nets.categorical import CategoricalLevels
from invgen.priors.nets.masked import GatedMaskedCNN

__all__ = ["AutoregressiveCode", "Maps", "write_in_order"]


@dataclass(frozen=True)
class Maps:
    """Maps of symbols ``(N, C, H, W)``, each predicted by a masked network from the pixels before it.

    The encoder sees whole maps, the decoder pixel after pixel: in exact arithmetic these are the same
    predictions.

    Attributes
    ----------
    network : GatedMaskedCNN
        An `exact_copy`.
    symbols : int
        Number of values of a pixel.
    seen : callable
        Maps as the network sees them, float64.
    frequencies : callable
        ``(outputs, seen, channel)`` to the frequencies of a channel, ``(N, H, W, symbols)``.
    """

    network: GatedMaskedCNN
    symbols: int
    seen: Callable[[Tensor], Tensor]
    frequencies: Callable[[Tensor, Tensor, int], Tensor]

    def encode(self, coder: Encoder, maps: Tensor, coded: Tensor) -> None:
        """Write the pixels where `coded`, bool ``(N, H, W)``, is true: all maps' first one, then the next."""
        n, channels, height, width = maps.shape
        rows = np.empty((height, width, channels, n, self.symbols), dtype=np.float32)
        for some in parts(n, height * width, self.symbols):
            seen = self.seen(maps[some])
            with Exact():
                outputs = self.network(seen)
            for lines in parts(height, len(seen) * width, self.symbols):
                for c in range(channels):
                    found = self.frequencies(outputs[:, :, lines], seen[:, :, lines], c)
                    kept = less_one(found).reshape(found.shape)
                    rows[lines, :, c, some] = np.moveaxis(kept, 0, 2)
        write_in_order(coder, maps, coded, rows)

    def decode(self, decoder: Decoder, maps: Tensor, coded: Tensor) -> None:
        """Fill in the pixels of `maps` that are coded; the others are as they were when it was encoded."""
        start = self.seen(maps)
        with Exact():
            reader = Reader(self.network, start)
        _, channels, height, width = maps.shape
        for i in range(height):
            if not coded[:, i:].any():
                return
            with Exact():
                reader.begin(i)
            for j in range(width):
                if not coded[:, i, j:].any():
                    break
                which, pixel = coded[:, i, j], (..., slice(i, i + 1), slice(j, j + 1))
                with Exact():
                    outputs = reader.outputs(i, j)
                for c in range(channels):
                    rows = less_one(self.frequencies(outputs, reader.x[pixel], c)[which])
                    maps[which, c, i, j] = torch.from_numpy(decoder.read(rows)).long()
                    reader.x[pixel] = self.seen(maps[pixel])


def write_in_order(coder: Encoder, maps: Tensor, coded: Tensor, rows: np.ndarray) -> None:
    """Write symbols in the order in which they are decoded: pixel, channel, image.

    Parameters
    ----------
    coder : Encoder
    maps : int64 tensor, shape (N, C, H, W)
    coded : bool tensor, shape (N, H, W)
    rows : float32 array, shape (H, W, C, N, symbols)
        Frequencies less one.
    """
    symbols = maps.permute(2, 3, 1, 0).numpy().astype(np.int32)
    which = np.broadcast_to(coded.permute(1, 2, 0).numpy()[:, :, None], symbols.shape)
    if which.all():  # without a copy
        coder.write(symbols.reshape(-1), rows.reshape(-1, rows.shape[-1]))
    else:
        coder.write(symbols[which], rows[which])


class AutoregressiveCode:
    """The code of an `Autoregressive` prior: its own bits, but for the roundings."""

    def __init__(self, prior: Autoregressive) -> None:
        images = prior.image_format
        assert images.shape is not None
        assert images.levels is not None
        network: Any = exact_copy(prior._networks()["network"])
        values = frequencies.level_values(images.levels)

        def of_channel(outputs: Tensor, seen: Tensor, channel: int) -> Tensor:
            with Exact():
                found = prior.predicted(outputs)
            if isinstance(found, CategoricalLevels):
                return frequencies.softmax(found.logits.movedim(1, -1))
            with Exact():
                means = found.mean(channel, seen)
            logits, means, log_scales = (
                each.movedim(1, -1) for each in (found.logits, means, found.log_scales[:, :, channel])
            )
            return frequencies.logistics(logits, means, log_scales, found.levels)

        self._maps = Maps(network, images.levels, values.__getitem__, of_channel)
        self.fingerprint = fingerprint_of(prior, **parameters_of(network))
        self.at_once, self.symbols = images_at_once(images.shape, images.levels), math.prod(images.shape)

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """The code of levels ``(N, C, H, W)``, int64, where `coded`, ``(N, H, W)``, is true."""
        coder = Encoder()
        self._maps.encode(coder, images, coded)
        return coder.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """Fill in the pixels of images that are coded."""
        decoder = Decoder(data)
        self._maps.decode(decoder, images, coded)
        decoder.check_end()
