"""Densities of images pixel by pixel, each given those before it: by masked convolutions, and by counts."""

from invgen.priors.autoregressive.context_table import ContextTable
from invgen.priors.autoregressive.model import Autoregressive

__all__ = ["Autoregressive", "ContextTable"]
