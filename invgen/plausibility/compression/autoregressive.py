"""Images as the range code of their pixels, each by its probability given those before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.plausibility.compression import frequencies
from invgen.plausibility.compression.coders import Decoder, Encoder, less_one
from invgen.plausibility.compression.exact import BITS, Exact, exact_copy
from invgen.priors.autoregressive import Autoregressive, ContextTable
from invgen.priors.autoregressive.contexts import REACH, neighbors
from invgen.priors.autoregressive.sampling import Reader
from invgen.priors.learned import Learned
from invgen.priors.nets.logistics import LogisticMixture
from invgen.priors.nets.masked import GatedMaskedCNN

__all__ = ["AutoregressiveCode", "ContextTableCode", "Maps", "fingerprint_of", "images_at_once"]

#: Frequencies of the symbols of all images in a chunk, and of those that are computed at once.
_KEPT, _COMPUTED = 2**25, 2**22


def images_at_once(shape: tuple[int, ...], symbols: int) -> int:
    """Images whose frequencies fit in the memory of a chunk."""
    return max(1, _KEPT // (int(np.prod(shape)) * symbols))


def fingerprint_of(prior: Learned, **tensors: Tensor) -> bytes:
    """Hash of all that a code follows from: the prior's settings, and its tensors in whole numbers."""
    images = prior.image_format
    settings = {"family": prior.family, "shape": images.shape, "levels": images.levels, **prior._parameters()}
    digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().astype("<i8").tobytes())
    return digest.digest()


def whole(network: torch.nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters of an `exact_copy` in units of 2 ** -16, for `fingerprint_of`."""
    return {prefix + name: tensor * 2**BITS for name, tensor in network.state_dict().items()}


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
        part = max(1, _COMPUTED // (height * width * self.symbols))
        for first in range(0, n, part):
            seen = self.seen(maps[first : first + part])
            with Exact():
                outputs = self.network(seen)
            for c in range(channels):
                found = less_one(self.frequencies(outputs, seen, c)).reshape(-1, height, width, self.symbols)
                rows[:, :, c, first : first + part] = np.moveaxis(found, 0, 2)
        _write(coder, maps, coded, rows)

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


def _write(coder: Encoder, maps: Tensor, coded: Tensor, rows: np.ndarray) -> None:
    """Symbols in the order in which they are decoded, ``(H, W, C, N)``."""
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
                each = [found.logits]
                if isinstance(found, LogisticMixture):
                    each += [found.mean(channel, seen), found.log_scales[:, :, channel]]
            each = [parameter.movedim(1, -1) for parameter in each]
            return (
                frequencies.logistics(*each, levels=found.levels)
                if isinstance(found, LogisticMixture)
                else frequencies.softmax(*each)
            )

        self._maps = Maps(network, images.levels, values.__getitem__, of_channel)
        self.fingerprint = fingerprint_of(prior, **whole(network))
        self.at_once = images_at_once(images.shape, images.levels)

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


class ContextTableCode:
    """The code of a `ContextTable`, whose probabilities are made of counts: the same on every machine."""

    def __init__(self, prior: ContextTable) -> None:
        images = prior.image_format
        assert images.shape is not None
        assert images.levels is not None
        self._prior, self._levels = prior, torch.arange(images.levels)
        self.fingerprint = fingerprint_of(prior, **prior._tensors())
        self.at_once = images_at_once(images.shape, images.levels)

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        n, channels, height, width = images.shape
        levels, coder = len(self._levels), Encoder()
        rows = np.empty((height, width, channels, n, levels), dtype=np.float32)
        for k, image in enumerate(images):
            near = neighbors(image)
            rows[..., k, :] = np.moveaxis(
                self._rows(lambda down, right, near=near: near(down, right).flatten()[:, None]).reshape(
                    channels, height, width, levels
                ),
                0,
                2,
            )
        _write(coder, images, coded, rows)
        return coder.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        decoder = Decoder(data)
        padded = torch.nn.functional.pad(images, (REACH, REACH, REACH, 0))
        height, width = images.shape[-2:]
        for i in range(height):
            for j in range(width):
                which = coded[:, i, j]
                if not which.any():
                    break
                for c in range(images.shape[1]):
                    own = padded[which, c]
                    rows = self._rows(
                        lambda down, right, own=own: own[:, i + REACH + down, j + REACH + right, None]  # noqa: B023
                    )
                    padded[which, c, i + REACH, j + REACH] = torch.from_numpy(decoder.read(rows)).long()
        images.copy_(padded[..., REACH:, REACH:-REACH])
        decoder.check_end()

    def _rows(self, near: Callable[..., Tensor]) -> np.ndarray:
        """Frequencies less one of all levels, by neighbors (n, 1): (n, levels)."""
        p = self._prior.probabilities(near, self._levels.expand(len(near(0, -1)), -1))
        return less_one(frequencies.shared((p * 2**28).floor(), frequencies.TOTAL))
