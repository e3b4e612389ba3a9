"""A density of digits that knows that a digit is the same one when it is moved by a pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.priors import ImageFormat

__all__ = ["BlurredKernels"]

#: Pixels that digits are moved by, down and to the right.
_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


class BlurredKernels:
    """Gaussian kernels of one bandwidth around blurred images, each as it is and moved by a pixel.

    A density of the images after a Gaussian blur, an invertible map: that of the images themselves differs by
    a constant, which does not count in Bayes' rule.
    """

    def __init__(self, images: Tensor, blur: float, bandwidth: float) -> None:
        self.image_format = ImageFormat(tuple(images.shape[1:]), field="real", value_range=(0.0, 1.0))
        self._blur, self._bandwidth = blur, bandwidth
        self._data = self._blurred(images)

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density of blurred images, shape of the batch."""
        images = x.reshape(-1, *x.shape[-2:])
        found = []
        for shift in _SHIFTS:
            # moving an image there is moving the kernels back
            rows = self._blurred(torch.roll(images, shift, (1, 2)))
            squares = rows.square().sum(1)[:, None] + self._data.square().sum(1) - 2 * rows @ self._data.T
            found.append(torch.logsumexp(-squares / (2 * self._bandwidth**2), 1))
        log_p = torch.logsumexp(torch.stack(found), 0) - math.log(len(_SHIFTS) * len(self._data))
        size = self._data.shape[1]
        return (log_p - size / 2 * math.log(2 * math.pi * self._bandwidth**2)).reshape(x.shape[:-2])

    def _blurred(self, images: Tensor) -> Tensor:
        """Rows of blurred images."""
        reach = math.ceil(4 * self._blur)
        line = torch.arange(-reach, reach + 1, dtype=images.dtype)
        weights = torch.softmax(-line.square() / (2 * self._blur**2), 0)
        x = F.conv2d(images[:, None], weights[None, None, :, None], padding=(reach, 0))
        return F.conv2d(x, weights[None, None, None], padding=(0, reach)).flatten(1)
