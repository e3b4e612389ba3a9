"""Compressed sensing: random projections, subsampled transforms, patterns; and nonlinear measurements."""

from invgen.operators.sensing.gaussian import GaussianMatrix
from invgen.operators.sensing.patterns import SinglePixel
from invgen.operators.sensing.phase import PhaseRetrieval, random_codes
from invgen.operators.sensing.saturation import Saturation
from invgen.operators.sensing.transform import SubsampledTransform

__all__ = [
    "GaussianMatrix",
    "PhaseRetrieval",
    "Saturation",
    "SinglePixel",
    "SubsampledTransform",
    "random_codes",
]
