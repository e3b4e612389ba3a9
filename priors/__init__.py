"""Priors: what images look like."""

from invgen.priors.base import Composite, Prior, Proximable
from invgen.priors.tv import TotalVariation

__all__ = ["Composite", "Prior", "Proximable", "TotalVariation"]
