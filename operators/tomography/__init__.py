"""Computed tomography."""

from invgen.operators.tomography.radon import Radon

__all__ = ["Radon"]
