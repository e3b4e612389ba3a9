"""Likelihood ratios: what an image costs under the prior, beside what it costs one that knows little."""

from __future__ import annotations

import bz2
import io
import lzma
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.plausibility.anomaly.base import Side
from invgen.plausibility.anomaly.likelihood import LikelihoodStatistic, minus_log_prob
from invgen.priors.autoregressive import ContextTable
from invgen.priors.base import Density, Energy, require
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["COMPRESSORS", "InputComplexity", "LikelihoodRatio", "code_lengths", "mutated"]

_LEVELS = 256


@dataclass(frozen=True)
class LikelihoodRatio(LikelihoodStatistic):
    """``log p_background(x) - log p(x)`` in nats: Ren et al. (2019).

    "Likelihood ratios for out-of-distribution detection", section 3. The background model is learned from
    images of which some pixels are replaced by random ones, so that it knows what is common to many kinds of
    images, and not what is particular to these. What the two share cancels.

    Parameters
    ----------
    background : Density, optional
        By default, a `ContextTable` that is fitted to the images given to `fitted`, mutated.
    mutation : float
        Probability that a pixel is replaced; the paper takes 0.1 to 0.3.
    seed : int
        Of the mutations.
    side : {"high", "both"}
    """

    name = "likelihood-ratio"

    background: Density | None = None
    mutation: float = 0.2
    seed: int = 0
    side: Side = "high"

    def __post_init__(self) -> None:
        if self.background is not None:
            require(self.background, "LikelihoodRatio's background", Density, Energy)
        if not 0 < self.mutation <= 1:
            raise ParameterError(f"mutation is a probability, above 0; got {self.mutation!r}.")
        as_count(self.seed, "seed", least=0)
        if self.side not in ("high", "both"):
            raise ParameterError(f'side is "high" or "both"; got {self.side!r}.')

    @property
    def is_fitted(self) -> bool:
        """Whether there is a background model."""
        return self.background is not None

    def _fit(self, prior: Any, images: Tensor) -> Self:
        if self.background is not None:
            return self
        known = format_of(prior)
        if images.is_complex():
            raise CapabilityError(
                "The background model of this package is one of real images; these are complex: give one, "
                "LikelihoodRatio(background)."
            )
        if not len(images):
            raise ShapeError("A background model is fitted to images; got none.")
        value_range, levels = known.value_range or (0.0, 1.0), known.levels or _LEVELS
        changed = mutated(images, self.mutation, value_range, levels, self.seed)
        return replace(self, background=ContextTable.fit(changed, levels=levels, value_range=value_range))

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """The difference from the background's."""
        return energy - minus_log_prob(self.background, images)

    def header(self) -> dict[str, Any]:
        """Refused: a background model is no entry of a header.

        Raises
        ------
        CapabilityError
        """
        raise CapabilityError(
            "A likelihood ratio needs its background model, which the header of a file does not hold: give "
            "calibration data."
        )


def mutated(
    images: Tensor, probability: float, value_range: tuple[float, float], levels: int, seed: int
) -> Tensor:
    """Images of which each pixel is, with a probability, replaced by one of the levels at random."""
    generator = torch.Generator().manual_seed(seed)
    replaced = torch.rand(images.shape, generator=generator) < probability
    low, high = value_range
    others = low + (high - low) * torch.randint(levels, images.shape, generator=generator) / (levels - 1)
    return torch.where(replaced.to(images.device), others.to(images), images)


@dataclass(frozen=True)
class InputComplexity(LikelihoodStatistic):
    """``-log2 p(x) - L(x)`` in bits, L being the length of the image, compressed: Serra et al. (2020).

    "Input complexity and out-of-distribution detection with likelihood-based generative models", section 3.
    Simple
    images are likely under any density, and short files: the difference is a likelihood ratio to a universal
    model. Of several compressors the shortest file counts.

    Lengths are those of the libraries at hand: another version of a library may compress a little better, and
    calibration is then to be repeated.

    Parameters
    ----------
    compressors : sequence of str
        Of "png", "webp", "jpeg2000", "xz", "bz2", "zlib".
    side : {"high", "both"}
    """

    name = "input-complexity"

    compressors: tuple[str, ...] = ("webp", "xz")
    side: Side = "high"

    def __post_init__(self) -> None:
        object.__setattr__(self, "compressors", tuple(self.compressors))
        if not self.compressors or not set(self.compressors) <= set(COMPRESSORS):
            raise ParameterError(f"compressors are some of {list(COMPRESSORS)}; got {self.compressors!r}.")
        if self.side not in ("high", "both"):
            raise ParameterError(f'side is "high" or "both"; got {self.side!r}.')

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """Its bits, less those of the file."""
        return energy / math.log(2) - code_lengths(images, format_of(prior), self.compressors)


def code_lengths(images: Tensor, image_format: ImageFormat, compressors: tuple[str, ...]) -> Tensor:
    """Bits of each image in 8 bits, channels below each other, in the shortest file of the compressors.

    Without what the same compressor needs for an image of one value, which is header for the most part.
    """
    channels = ImageFormat(
        axes=image_format.axes or images.ndim - 1,
        field=image_format.field,
        value_range=image_format.value_range or (0.0, 1.0),
    ).to_network(images)
    levels = ((channels + 1) * (_LEVELS - 1) / 2).round().clamp(0, _LEVELS - 1).to(torch.uint8).cpu().numpy()
    if not len(levels):
        return torch.zeros(0, dtype=torch.float64)
    pixels = levels.reshape(len(images), -1, levels.shape[-1])
    empty = np.zeros_like(pixels[0])
    found = []
    for name in compressors:
        compressed = COMPRESSORS[name]
        overhead = len(compressed(empty))
        found.append([8 * (len(compressed(image)) - overhead) for image in pixels])
    return torch.tensor(found, dtype=torch.float64).amin(0)


def _picture(**settings: Any) -> Callable[[np.ndarray], bytes]:
    def compressed(pixels: np.ndarray) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, **settings)
        return file.getvalue()

    return compressed


def _of_bytes(compress: Callable[[bytes], bytes]) -> Callable[[np.ndarray], bytes]:
    return lambda pixels: compress(pixels.tobytes())


#: Of xz: a small dictionary, as a large one takes longer to set up than an image to compress.
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**20}]

#: Bytes of an image of 8 bits, (H, W), by name.
COMPRESSORS: dict[str, Callable[[np.ndarray], bytes]] = {
    "png": _picture(format="PNG", optimize=True),
    "webp": _picture(format="WEBP", lossless=True, quality=100, method=6),
    "jpeg2000": _picture(format="JPEG2000", irreversible=False),
    "xz": _of_bytes(lambda content: lzma.compress(content, lzma.FORMAT_RAW, filters=_LZMA)),
    "bz2": _of_bytes(bz2.compress),
    "zlib": _of_bytes(lambda content: zlib.compress(content, 9)),
}
