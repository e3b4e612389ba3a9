"""Weights of particles: how many they are worth, and particles that are drawn by them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["effective_number", "log_mean", "systematic"]


def effective_number(log_weights: Tensor) -> Tensor:
    """One over the sum of squared weights along the last axis; Kong, Liu and Wong (1994)."""
    return 1 / torch.softmax(log_weights, -1).square().sum(-1)


def log_mean(log_weights: Tensor) -> Tensor:
    """Logarithm of the mean weight along the last axis."""
    return torch.logsumexp(log_weights, -1) - math.log(log_weights.shape[-1])


def systematic(log_weights: Tensor, n: int, uniform: Tensor) -> Tensor:
    """Indices of n particles by their weights, with one uniform number: systematic resampling.

    Each particle is drawn n w times, rounded up or down; Douc, Cappe and Moulines (2005), sec. 2.4.

    Parameters
    ----------
    log_weights : tensor, shape (..., count)
    n : int
    uniform : tensor, shape (...)
        From zero to one.

    Returns
    -------
    tensor, shape (..., n)
    """
    ends = torch.softmax(log_weights, -1).cumsum(-1).contiguous()
    places = (torch.arange(n, device=ends.device) + uniform[..., None]) / n
    index = torch.searchsorted(ends, places.to(ends).contiguous())
    return index.clamp(max=log_weights.shape[-1] - 1)
