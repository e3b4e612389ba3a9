"""The noise level of an image, from the image itself."""

from __future__ import annotations

from statistics import NormalDist

import torch

__all__ = ["white_noise_level"]

#: The least number of differences that a level is estimated from.
_FEWEST = 64


def white_noise_level(image: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor | None:
    """Standard deviation of white noise in an image; None where too few are known, or all equal.

    The diagonal differences ``(a - b - c + d) / 2`` of 2 x 2 neighbors, the finest Haar coefficients, are
    zero where an image is smooth or has an edge along an axis, and of white noise they have its own standard
    deviation: it is their median magnitude over 0.6745, Donoho and Johnstone (1994), section 4.2. Fine
    texture in more than half of the image raises it: it is an upper bound.

    Parameters
    ----------
    image : real tensor, shape (*channels, H, W)
    known : bool tensor that broadcasts to `image`, optional
        Pixels that were measured; the others tell nothing.

    Returns
    -------
    tensor without axes, or None
    """
    details = _diagonal(image) / 2
    if known is not None:
        whole = _corners(known.expand(image.shape))
        details = details[whole[0] & whole[1] & whole[2] & whole[3]]
    if details.numel() < _FEWEST:
        return None
    level = details.abs().median() / NormalDist().inv_cdf(0.75)
    return level if level > 0 else None


def _diagonal(x: torch.Tensor) -> torch.Tensor:
    a, b, c, d = _corners(x)
    return a - b - c + d


def _corners(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pixels of all blocks of 2 x 2, by their corner."""
    return x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
