"""Joseph's projector for parallel beams, compiled for the CPU.

Positions are computed in float64 whatever the data, once for all images of a batch. Both directions are
gathers, each thread writing its own rays or pixels: the same bits with any number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch.nn.functional import pad

from invgen.core.threads import parallel
from invgen.operators.tomography.rays import ParallelRays

__all__ = ["adjoint", "forward"]


def forward(x: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    images, flipped = (pad(a, (1, 1)).contiguous().numpy() for a in (x, x.mT))
    y = x.new_zeros(len(x), len(rays.views), rays.bins)
    _project(images, flipped, rays.views.numpy(), rays.first, rays.ratio, y.numpy())
    return y.mul_(rays.pixel_size)


def adjoint(y: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    margin = int(2 / rays.ratio) + 2  # more bins than a pixel can reach
    rows = pad(y, (margin, margin)).contiguous().numpy()
    x = y.new_zeros(len(y), *rays.image_shape)
    _backproject(rows, rays.views.numpy(), rays.first, rays.ratio, margin, x.numpy())
    return x.mul_(rays.pixel_size)


@parallel
def _project(x, flipped, views, first, ratio, y):
    """Images to sinograms, lengths in pixels.

    `x` (batch, H, W + 2) and `flipped` (batch, W, H + 2), the images transposed, carry a column of zeros on
    either side, so that no ray needs to ask whether it is inside. Adds to `y` (batch, views, detector).
    """
    batch, height, width = x.shape[0], x.shape[1], x.shape[2] - 2
    detector_count = y.shape[2]
    for view in prange(len(views)):
        cos, sin = views[view]
        # ray d crosses line i of the image (a row, or a column of a steep view) at start + slope i + step d
        if abs(cos) >= abs(sin):
            image, major, minor = x, height, width
            start = (first * ratio - (height - 1) / 2 * sin) / cos + (width - 1) / 2
            slope, step, length = sin / cos, ratio / cos, 1 / abs(cos)
        else:
            image, major, minor = flipped, width, height
            start = (height - 1) / 2 - (first * ratio + (width - 1) / 2 * cos) / sin
            slope, step, length = cos / sin, -ratio / sin, 1 / abs(sin)
        left = np.empty(detector_count, dtype=np.uint32)
        right_weight = np.empty(detector_count, dtype=x.dtype)
        for i in range(major):
            at = start + slope * i
            # the bins whose rays pass between -1 and `minor`, where a pixel is within reach
            ends = ((-1 - at) / step, (minor - at) / step)
            low = max(0, math.ceil(min(ends)))
            high = min(detector_count, math.floor(max(ends)) + 1)
            for d in range(low, high):
                place = at + step * d
                j = min(max(math.floor(place), -1), minor - 1)
                left[d] = np.uint32(j + 1)
                right_weight[d] = place - j
            for b in range(batch):
                line, after, row = image[b, i], image[b, i, 1:], y[b, view]
                for d in range(low, high):
                    row[d] += line[left[d]] + right_weight[d] * (after[left[d]] - line[left[d]])
        for b in range(batch):
            for d in range(detector_count):
                y[b, view, d] *= length


@parallel
def _backproject(y, views, first, ratio, margin, x):
    """Sinograms to images, lengths in pixels; the transpose of `_project`.

    The rows of `y` (batch, views, margin + detector + margin) are padded by zeros, further than a pixel's
    reach. Adds to `x` (batch, H, W).
    """
    batch, height, width = x.shape
    detector_count = y.shape[2] - 2 * margin
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in prange(height):
        nearest = np.empty(width, dtype=np.uint32)
        distance = np.empty(width, dtype=x.dtype)
        weight = np.empty(width, dtype=x.dtype)
        for view in range(len(views)):
            cos, sin = views[view]
            m = max(abs(cos), abs(sin))
            reach = m / ratio
            origin = ((height - 1) / 2 - i) * sin / ratio - (width - 1) / 2 * cos / ratio - first
            for j in range(width):
                center = origin + j * (cos / ratio)
                d = math.ceil(center - reach)
                distance[j] = (d - center) / reach
                # a pixel off the detector meets zeros only; unsigned, for a plain index
                nearest[j] = np.uint32(min(max(d, -margin), detector_count) + margin)
            for k in range(min(int(2 * reach) + 1, margin)):
                for j in range(width):
                    weight[j] = max(
                        zero, (one - abs(distance[j] + x.dtype.type(k / reach))) * x.dtype.type(1 / m)
                    )
                for b in range(batch):
                    row, line = y[b, view, k:], x[b, i]
                    for j in range(width):
                        line[j] += weight[j] * row[nearest[j]]
