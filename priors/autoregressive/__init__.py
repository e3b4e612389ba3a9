"""Autoregressive densities: the probability of each pixel, given the pixels before it."""

from invgen.priors.autoregressive.model import Autoregressive

__all__ = ["Autoregressive"]
