"""Whether images look like slices of heads: one outline without dents, and a phase without vortices."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter, label
from skimage.morphology import convex_hull_image
from torch import Tensor

__all__ = ["outline", "solidity", "vortices"]


def outline(image: Tensor) -> np.ndarray:
    """What is brighter than a tenth of the brightest tissue, and what that surrounds: its largest part."""
    value = gaussian_filter(image.abs().numpy(), 1)
    bright = binary_closing(np.pad(value > 0.1 * np.quantile(value, 0.99), 8), iterations=8)
    parts, _ = label(binary_fill_holes(bright)[8:-8, 8:-8])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def solidity(image: Tensor) -> float:
    """Area of the outline over that of its convex hull: one of a head without dents."""
    inside = outline(image)
    return float(inside.sum() / convex_hull_image(inside).sum())


def vortices(image: Tensor, blur: float = 6.0) -> int:
    """Points within the outline around which the phase turns by all of 2 pi.

    Of the complex image after a Gaussian blur, in pixels, of less than any coil's phase: none where the phase
    is smooth. The modulus is zero in each: a dark spot.
    """
    smooth = gaussian_filter(image.real.numpy(), blur) + 1j * gaussian_filter(image.imag.numpy(), blur)
    corners = smooth[:-1, :-1], smooth[:-1, 1:], smooth[1:, 1:], smooth[1:, :-1]
    steps = (np.angle(b * a.conj()) for a, b in zip(corners, (*corners[1:], corners[0]), strict=True))
    turns = np.rint(sum(steps) / (2 * math.pi))
    return int(np.count_nonzero(turns * outline(image)[:-1, :-1]))
