"""Whole numbers in place of probabilities: 2 ** 24 in all, at least one for each symbol.

Their arguments are values of networks in exact arithmetic, see `invgen.plausibility.compression.exact`. All
products and sums are those of integers below 2 ** 53, so that they are exact in float64; a quotient is the
nearest float64, which IEEE 754 fixes.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from invgen.plausibility.compression import tables
from invgen.plausibility.compression.exact import BITS

__all__ = ["PRECISION", "TOTAL", "bernoulli", "level_values", "logistics", "normal", "shared", "softmax"]

#: The precision of `constriction`'s models.
PRECISION = 24
TOTAL = 2**PRECISION

#: Mixtures share 2 ** 22 among their components, and means lie within -16 to 16.
_MIXTURE_BITS, _FARTHEST = 22, 16.0

#: Edges between levels are multiples of 2 ** -20.
_EDGE = 2**20


def shared(weights: Tensor, total: int, least: int = 1) -> Tensor:
    """A total that is shared in proportion to weights, each share being at least `least`.

    Parameters
    ----------
    weights : tensor of whole numbers as float64, shape (..., n)
        Up to 2 ** 28.
    total : int
        Up to 2 ** 24.

    Returns
    -------
    tensor of whole numbers as float64, shape (..., n)
    """
    free = total - least * weights.shape[-1]
    shares = (weights * free / weights.sum(-1, keepdim=True)).floor_().add_(least)
    # numpy's argmax is the first of equal ones, torch's is any
    first = torch.from_numpy(shares.numpy().argmax(-1, keepdims=True))
    return shares.scatter_add_(-1, first, total - shares.sum(-1, keepdim=True))


def softmax(logits: Tensor, total: int = TOTAL, least: int = 1) -> Tensor:
    """Of logits along the last axis, shape (..., n)."""
    return shared(tables.softmax_weight()(logits.amax(-1, keepdim=True) - logits), total, least)


def logistics(logits: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """Of a mixture of discretized logistics, Salimans et al. (2017), eq. 2; parameters (..., mixtures).

    Returns
    -------
    tensor, shape (..., levels)
    """
    weights = softmax(logits, 2**_MIXTURE_BITS, least=0)
    inverse = tables.exponential()(-log_scales)
    means = means.clamp(-_FARTHEST, _FARTHEST)
    below = torch.zeros(*means.shape[:-1], levels - 1, dtype=torch.float64)
    for k in range(means.shape[-1]):
        distance = (_edges(levels) - means[..., k, None]).mul_(inverse[..., k, None])
        below += tables.logistic_cdf()(distance).mul_(weights[..., k, None])
    return _differences(below.div_(2**_MIXTURE_BITS).floor_())


def bernoulli(log_odds: Tensor) -> Tensor:
    """Of the lower and the upper of two levels, by the logarithm of the odds of the upper one; (..., 2)."""
    return _differences(tables.logistic_cdf()(-log_odds)[..., None])


def normal(means: Tensor, log_variances: Tensor, edges: Tensor) -> Tensor:
    """Of Gaussians, in bins between edges, multiples of 2 ** -16; parameters of one shape (...).

    Returns
    -------
    tensor, shape (..., edges + 1)
    """
    inverse = tables.exponential()(-log_variances / 2)
    distance = (edges - means.clamp(-_FARTHEST, _FARTHEST)[..., None]).mul_(inverse[..., None])
    return _differences(tables.normal_cdf()(distance))


def _differences(below: Tensor) -> Tensor:
    """Frequencies of n symbols, by their n - 1 inner values of a distribution function, (..., n - 1)."""
    n = below.shape[-1] + 1
    cumulative = torch.empty(*below.shape[:-1], n + 1, dtype=torch.float64)
    cumulative[..., 0], cumulative[..., n] = 0, TOTAL
    inner = (below * (TOTAL - n)).div_(2**tables.CDF_BITS).floor_()
    cumulative[..., 1:n] = inner.add_(torch.arange(1, n, dtype=torch.float64))
    return cumulative.diff(dim=-1)


@cache
def _edges(levels: int) -> Tensor:
    """Between the levels, which go from -1 to 1."""
    last = levels - 1
    edges = [((2 * k + 1 - last) * _EDGE) // last for k in range(last)]
    return torch.tensor(edges, dtype=torch.float64) / _EDGE


@cache
def level_values(levels: int) -> Tensor:
    """The levels from -1 to 1 as a network sees them, multiples of 2 ** -16."""
    last = levels - 1
    values = [((2 * k - last) * 2**BITS * 2 + last) // (2 * last) for k in range(levels)]
    return torch.tensor(values, dtype=torch.float64) / 2**BITS
