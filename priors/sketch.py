"""Which images a prior has learned from, as a few hashes in its file: enough to find them in other data."""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import FileError
from invgen.priors.image_format import ImageFormat

__all__ = ["Overlap", "TrainingData", "image_hash"]

#: Bytes of a hash, and the number of hashes that are kept.
_BYTES, _KEPT = 6, 2048

#: Largest level of an image of 8 bits.
_WHITE = 255


class Overlap(NamedTuple):
    """What a sketch says of other images.

    Attributes
    ----------
    found : int
        Different images among those that could be found that are in the training data.
    tested : int
        Different images that could be found. Each image has the same chance to be one of them, so that
        found out of tested is a binomial count whose probability is the fraction of images learned from.
    """

    found: int
    tested: int


@dataclass(frozen=True)
class TrainingData:
    """The smallest hashes of a set of images: a bottom-k sketch, Cohen and Kaplan (2007).

    Of another set, the images whose hashes are at most the largest that is kept are a random part of it, and
    each of these is in the first set exactly where its hash is kept. Different images have equal hashes of 48
    bits with a probability of about 1e-8 for 2,048 images tested. Of 100 images, all of which are among
    60,000, none is tested with a probability of 3 %, of 300 with one of 3e-5.

    Parameters
    ----------
    count : int
        Number of different images.
    hashes : tuple of int
        The smallest ones, in increasing order: all of them, where they are no more than 2,048.
    """

    count: int
    hashes: tuple[int, ...]

    @classmethod
    def of(cls, images: Iterable[Any], image_format: ImageFormat) -> TrainingData:
        """The sketch of images (tensors or arrays, ``(H, W)`` or ``(C, H, W)``) of a prior's format.

        The format gives the value range in which images are rounded to 8 bits: see `image_hash`.
        """
        found = {image_hash(image, image_format) for image in images}
        return cls(len(found), tuple(heapq.nsmallest(_KEPT, found)))

    def overlap(self, images: Iterable[Any], image_format: ImageFormat) -> Overlap:
        """How many of other images are among these."""
        known = set(self.hashes)
        hashes = {image_hash(image, image_format) for image in images}
        tested = hashes if self.count <= len(known) else {h for h in hashes if h <= self.hashes[-1]}
        return Overlap(len(tested & known), len(tested))

    def header(self) -> dict[str, Any]:
        """The entry ``training_data`` of a prior's file, as JSON can hold it: 16 kB."""
        content = b"".join(h.to_bytes(_BYTES, "big") for h in self.hashes)
        return {"count": self.count, "hashes": base64.b64encode(content).decode()}

    @classmethod
    def from_header(cls, entry: Any) -> TrainingData:
        """The sketch of such an entry.

        Raises
        ------
        FileError
            For anything else.
        """
        try:
            if not isinstance(entry, Mapping):
                raise ValueError("it is no table")
            content = base64.b64decode(entry["hashes"], validate=True)
            count = as_count(entry["count"], "count", most=2**63)
            hashes = tuple(
                int.from_bytes(content[i : i + _BYTES], "big") for i in range(0, len(content), _BYTES)
            )
            if len(content) != _BYTES * min(count, _KEPT) or any(a >= b for a, b in pairwise(hashes)):
                raise ValueError("its hashes are not as many as it says, in increasing order")
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise FileError(
                f"The prior's file does not say which images it has learned from, though it has an entry "
                f"training_data: {error}."
            ) from None
        return cls(count, hashes)


def image_hash(image: Any, image_format: ImageFormat) -> int:
    """48 bits of BLAKE2 of an image in 8 bits.

    The value range becomes 0 to 255; of complex images the modulus counts, as the phase is often drawn anew
    in training. Images that are equal but for rounding have equal hashes, unless a pixel is half way between
    two levels; scaled, turned or cropped images have others.

    Parameters
    ----------
    image : tensor or array
    image_format : ImageFormat
        Of its value range alone; zero and one are black and white where it has none.
    """
    x = image.detach() if isinstance(image, Tensor) else torch.as_tensor(np.asarray(image))
    low, high = image_format.value_range or (0.0, 1.0)
    if x.is_complex() or image_format.field == "complex":
        x, low = x.abs(), 0.0
    levels = ((x.double() - low) * (_WHITE / (high - low))).round().clamp(0, _WHITE).to(torch.uint8)
    shape = ",".join(map(str, levels.shape)).encode()
    digest = hashlib.blake2b(shape + b":" + levels.cpu().numpy().tobytes(), digest_size=_BYTES)
    return int.from_bytes(digest.digest(), "big")
