"""Densities of images pixel by pixel, each given those before it."""

from invgen.priors.autoregressive.context_table import ContextTable

__all__ = ["ContextTable"]
