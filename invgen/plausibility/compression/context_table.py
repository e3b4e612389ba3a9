"""The range code of images by counts of pixels in their contexts."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.plausibility.compression import frequencies
from invgen.plausibility.compression.autoregressive import write_in_order
from invgen.plausibility.compression.coders import Decoder, Encoder, less_one
from invgen.plausibility.compression.fingerprints import fingerprint_of
from invgen.plausibility.compression.memory import images_at_once, parts
from invgen.priors.autoregressive import ContextTable
from invgen.priors.autoregressive.contexts import REACH, Near, neighbors

__all__ = ["ContextTableCode"]


class ContextTableCode:
    """The code of a `ContextTable`, whose probabilities are made of counts: the same on every machine."""

    def __init__(self, prior: ContextTable) -> None:
        images = prior.image_format
        assert images.shape is not None
        assert images.levels is not None
        self._prior, self._levels = prior, torch.arange(images.levels)
        self.fingerprint = fingerprint_of(prior, **prior._tensors())
        self.at_once, self.symbols = images_at_once(images.shape, images.levels), math.prod(images.shape)

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """As of `AutoregressiveCode`."""
        n, channels, height, width = images.shape
        levels, coder = len(self._levels), Encoder()
        rows = np.empty((height, width, channels, n, levels), dtype=np.float32)
        for k, image in enumerate(images):
            for c, near in enumerate(map(neighbors, image[:, None])):
                for lines in parts(height, width, levels):
                    found = self._rows(partial(_in_lines, near, lines))
                    rows[lines, :, c, k] = found.reshape(-1, width, levels)
        write_in_order(coder, images, coded, rows)
        return coder.bytes()

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """As of `AutoregressiveCode`."""
        decoder, padded = Decoder(data), F.pad(images, (REACH, REACH, REACH, 0))
        for i, j in np.ndindex(*images.shape[-2:]):
            which = coded[:, i, j]
            if not which.any():
                continue
            for c in range(images.shape[1]):
                rows = self._rows(partial(_at, padded[which, c], i + REACH, j + REACH))
                padded[which, c, i + REACH, j + REACH] = torch.from_numpy(decoder.read(rows)).long()
        images.copy_(padded[..., REACH:, REACH:-REACH])
        decoder.check_end()

    def _rows(self, near: Near) -> np.ndarray:
        """Frequencies less one of all levels, by neighbors (n, 1): (n, levels)."""
        p = self._prior.probabilities(near, self._levels.expand(len(near(0, -1)), -1))
        return less_one(frequencies.shared((p * 2**28).floor(), frequencies.TOTAL))


def _in_lines(near: Near, lines: slice, down: int, right: int) -> Tensor:
    """Neighbors of the pixels in some lines of an image (1, H, W), one after the other: (n, 1)."""
    return near(down, right)[0, lines].reshape(-1, 1)


def _at(padded: Tensor, i: int, j: int, down: int, right: int) -> Tensor:
    """A neighbor of one pixel of all images, (n, 1)."""
    return padded[:, i + down, j + right, None]
