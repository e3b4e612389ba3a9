"""Magnetic resonance imaging."""

from invgen.operators.mri import sampling
from invgen.operators.mri.cartesian import MRI
from invgen.operators.mri.fourier import Fourier

__all__ = ["MRI", "Fourier", "sampling"]
