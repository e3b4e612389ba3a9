"""Normalizing flows: densities that are exact, of images and of vectors."""

from invgen.priors.flow.images import Flow
from invgen.priors.flow.vectors import VectorFlow

__all__ = ["Flow", "VectorFlow"]
