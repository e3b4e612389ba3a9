"""The noise level of k-space, from k-space itself."""

from __future__ import annotations

import math

import torch

__all__ = ["noise_level"]

#: Fraction of the samples, the furthest from the origin, that noise is estimated from; their least number.
_OUTER = 0.25
_FEWEST = 64


def noise_level(samples: torch.Tensor, radius: torch.Tensor) -> torch.Tensor | None:
    """Standard deviation of the real and of the imaginary part, shape of the batch; None for few samples.

    In the outer k-space noise dominates, most in the samples of small magnitude. A quarter of the magnitudes
    of complex noise is below ``sqrt(2 log(4/3))`` standard deviations (Rayleigh); the level is estimated from
    this quantile of the outermost quarter of the samples. Signal in them raises it: it is an upper bound.

    Parameters
    ----------
    samples : complex tensor, shape (*batch, coils, n)
    radius : tensor, shape (n,)
        Distance from the origin, in units of the largest frequency of each axis.
    """
    count = int(_OUTER * len(radius))
    if count < _FEWEST:
        return None
    outer = radius.topk(count).indices
    smaller = samples[..., outer.to(samples.device)].abs().kthvalue(count // 4, dim=-1).values
    return (smaller / math.sqrt(2 * math.log(4 / 3))).square().mean(-1).sqrt()
