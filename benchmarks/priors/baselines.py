"""Denoisers that learn nothing, each with the weight that is best by the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import minimize_scalar
from torch import Tensor

import invgen as ig
from invgen.priors import NonLocalMeans, TVDenoiser


def psnr(image: Tensor, truth: Tensor) -> float:
    """In dB, of values from 0 to 1; the mean over a batch."""
    return float(ig.metrics.psnr(image, truth, data_range=1.0).mean())


def total_variation(noisy: Tensor, truth: Tensor, sigma: float) -> float:
    """PSNR of scikit-image's total variation."""
    return _best(lambda strength: psnr(TVDenoiser(strength).denoise(noisy, sigma), truth), 0.2, 3.0)


def non_local_means(noisy: Tensor, truth: Tensor, sigma: float) -> float:
    """PSNR of scikit-image's non-local means, which are given the noise."""
    return _best(lambda strength: psnr(NonLocalMeans(strength).denoise(noisy, sigma), truth), 0.3, 1.5)


def _best(quality: Callable[[float], float], low: float, high: float) -> float:
    """The largest quality by weight: it rises to one peak, and falls."""
    bounds = (math.log(low), math.log(high))
    found = minimize_scalar(lambda x: -quality(math.exp(x)), bounds=bounds, options={"xatol": 0.05})
    return -float(found.fun)
