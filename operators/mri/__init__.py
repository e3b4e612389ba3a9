"""Magnetic resonance imaging."""

from invgen.operators.mri import coils, sampling, trajectories
from invgen.operators.mri.cartesian import MRI
from invgen.operators.mri.fourier import Fourier
from invgen.operators.mri.noncartesian import NonCartesianMRI

__all__ = ["MRI", "Fourier", "NonCartesianMRI", "coils", "sampling", "trajectories"]
