"""Partial Fourier MRI: the half of k-space that is not sampled follows from a phase that varies slowly."""

from invgen.solvers.partial_fourier.base import PartialFourierSolver
from invgen.solvers.partial_fourier.homodyne import Homodyne
from invgen.solvers.partial_fourier.pocs import POCS

__all__ = ["POCS", "Homodyne", "PartialFourierSolver"]
