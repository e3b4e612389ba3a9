"""Operators: the physics of a measurement."""

from invgen.core.space import ProductSpace, Space
from invgen.operators.algebra import stack
from invgen.operators.base import Operator
from invgen.operators.basic import FunctionOperator, Identity, Map, MatrixOperator, from_scipy
from invgen.operators.imaging import Blur, Downsample, Grayscale, Mask, kernels, masks
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.mri import MRI, Fourier, NonCartesianMRI, coils, sampling, trajectories
from invgen.operators.odl import from_odl, to_odl
from invgen.operators.scattering import LinearScattering, cylindrical_waves
from invgen.operators.sensing import (
    GaussianMatrix,
    PhaseRetrieval,
    Saturation,
    SinglePixel,
    SubsampledTransform,
    random_codes,
)
from invgen.operators.tomography import ConeBeam, FanBeam, Radon
from invgen.operators.tomography.calibration import Calibration, calibrate
from invgen.operators.transforms import DCT, Gradient, Hadamard, Wavelet

__all__ = [
    "DCT",
    "MRI",
    "SVD",
    "Blur",
    "Calibration",
    "ConeBeam",
    "Downsample",
    "FanBeam",
    "Fourier",
    "FunctionOperator",
    "GaussianMatrix",
    "Gradient",
    "Grayscale",
    "Hadamard",
    "Identity",
    "LinearOperator",
    "LinearScattering",
    "Map",
    "Mask",
    "MatrixOperator",
    "NonCartesianMRI",
    "Operator",
    "PhaseRetrieval",
    "ProductSpace",
    "Radon",
    "Saturation",
    "SinglePixel",
    "Space",
    "SubsampledTransform",
    "Wavelet",
    "calibrate",
    "coils",
    "cylindrical_waves",
    "from_odl",
    "from_scipy",
    "kernels",
    "masks",
    "random_codes",
    "sampling",
    "stack",
    "to_odl",
    "trajectories",
]
