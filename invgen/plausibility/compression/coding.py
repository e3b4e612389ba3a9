"""The code of a prior, and how the images of an array become the tiles that it codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from os import PathLike
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from invgen import priors
from invgen.core.errors import CapabilityError, ShapeError
from invgen.plausibility.compression.autoregressive import AutoregressiveCode
from invgen.plausibility.compression.bits_back import hierarchical_vae_code, vae_code
from invgen.plausibility.compression.codebook import VQVAECode
from invgen.plausibility.compression.container import AXES
from invgen.plausibility.compression.context_table import ContextTableCode
from invgen.plausibility.compression.tiles import Tiling
from invgen.priors.files.checkpoints import shipped

__all__ = ["Code", "Coding", "Layout", "Prior"]

#: A prior, or its name or file.
Prior = Any


class Code(Protocol):
    """A lossless code of images of one size by a prior.

    Attributes
    ----------
    fingerprint : bytes
        Of all that the code follows from.
    at_once : int
        Images that are coded together, at most.
    symbols : int
        Pixels and latent variables of an image.
    """

    fingerprint: bytes
    at_once: int
    symbols: int

    def encode(self, images: Tensor, coded: Tensor) -> bytes:
        """The code of levels ``(N, C, H, W)``, int64, where `coded`, ``(N, H, W)``, is true."""

    def decode(self, data: bytes, images: Tensor, coded: Tensor) -> None:
        """Fill in the pixels of images that are coded; the others are there, as they were in `encode`."""


_CODES: dict[type, Callable[[Any], Code]] = {
    priors.Autoregressive: AutoregressiveCode,
    priors.ContextTable: ContextTableCode,
    priors.HierarchicalVAE: hierarchical_vae_code,
    priors.VAE: vae_code,
    priors.VQVAE: VQVAECode,
}


class Layout:
    """Which axes of an array are those of an image.

    Parameters
    ----------
    shape : tuple of int
    channels : {"none", "first", "last"}
        Whether images are ``(H, W)``, ``(C, H, W)`` or ``(H, W, C)``.
    """

    def __init__(self, shape: tuple[int, ...], channels: str) -> None:
        self.channels, axes = channels, 2 if channels == "none" else 3
        self.image, self.count = shape[len(shape) - axes :], math.prod(shape[: len(shape) - axes])
        self.size = self.image[:2] if channels == "last" else self.image[-2:]

    def with_channels(self, images: np.ndarray) -> np.ndarray:
        """Images ``(n, *image)`` as ``(n, C, H, W)``."""
        if self.channels == "none":
            return images[:, None]
        return np.moveaxis(images, -1, 1) if self.channels == "last" else images

    def as_images(self, channels: np.ndarray) -> np.ndarray:
        """The inverse of `with_channels`."""
        if self.channels == "none":
            return channels[:, 0]
        return np.moveaxis(channels, 1, -1) if self.channels == "last" else channels


class Coding:
    """A prior, its code, and the images that it is for.

    Attributes
    ----------
    prior : Learned
    name : str
        Under which it comes with the package, or nothing.
    code : Code
    levels : int
    tile : (int, int, int)
        Channels, height and width of its images.

    Raises
    ------
    CapabilityError
        Where no code of such a prior is known.
    """

    def __init__(self, prior: Prior) -> None:
        named = isinstance(prior, str | PathLike)
        self.name = prior if isinstance(prior, str) and prior in shipped() else ""
        self.prior = priors.load(prior) if named else prior
        build = _CODES.get(type(self.prior))
        if build is None:
            raise CapabilityError(
                "compress takes a prior whose probabilities are computed in whole numbers, "
                f"{', '.join(kind.__name__ for kind in _CODES)}; got {type(self.prior).__name__}."
            )
        images = self.prior.image_format
        if images.levels is not None and images.levels > 256:
            raise CapabilityError(f"compress takes pixels of 8 bits; the prior has {images.levels} levels.")
        self.code, self.levels = build(self.prior), images.levels
        self._axes, self.tile = images.axes, (images.network_channels, *images.shape[-2:])

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """That of an array of this shape.

        Raises
        ------
        ShapeError
            For an array of other images.
        """
        fits = {
            "none": self._axes == 2 and len(shape) >= 2,
            "first": self._axes == 3 and len(shape) >= 3 and shape[-3] == self.tile[0],
            "last": self._axes == 3 and len(shape) >= 3 and shape[-1] == self.tile[0],
        }
        for channels, fit in fits.items():
            if fit and len(shape) <= AXES and 0 not in (found := Layout(shape, channels)).image:
                return found
        wanted = "H, W" if self._axes == 2 else f"{self.tile[0]}, H, W) or (*batch, H, W, {self.tile[0]}"
        raise ShapeError(
            f"compress takes images (*batch, {wanted}) with this prior, of {AXES} axes at most; got {shape}."
        )

    def tiling(self, layout: Layout) -> Tiling:
        """The tiles of its images."""
        height, width = layout.size
        return Tiling((height, width), (self.tile[1], self.tile[2]))
