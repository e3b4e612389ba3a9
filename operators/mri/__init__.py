"""Magnetic resonance imaging."""

from invgen.operators.mri import coils, sampling
from invgen.operators.mri.cartesian import MRI
from invgen.operators.mri.fourier import Fourier

__all__ = ["MRI", "Fourier", "coils", "sampling"]
