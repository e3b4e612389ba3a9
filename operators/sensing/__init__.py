"""Compressed sensing: random projections, subsampled transforms, patterns; and nonlinear measurements."""

from invgen.operators.sensing.gaussian import GaussianMatrix
from invgen.operators.sensing.hadamard import Hadamard
from invgen.operators.sensing.patterns import SinglePixel
from invgen.operators.sensing.transform import SubsampledTransform

__all__ = ["GaussianMatrix", "Hadamard", "SinglePixel", "SubsampledTransform"]
