"""Operators: the physics of a measurement."""

from invgen.operators.algebra import stack
from invgen.operators.base import SVD, LinearOperator, Operator
from invgen.operators.basic import FunctionOperator, Identity, MatrixOperator, from_scipy
from invgen.operators.gradient import Gradient
from invgen.operators.imaging import DCT, Blur, Downsample, Grayscale, Mask, kernels, masks
from invgen.operators.mri import MRI, Fourier, NonCartesianMRI, coils, sampling, trajectories
from invgen.operators.odl import from_odl
from invgen.operators.sensing import (
    GaussianMatrix,
    Hadamard,
    PhaseRetrieval,
    Saturation,
    SinglePixel,
    SubsampledTransform,
    random_codes,
)
from invgen.operators.space import ProductSpace, Space
from invgen.operators.tomography import ConeBeam, FanBeam, Radon
from invgen.operators.tomography.calibration import Calibration, calibrate
from invgen.operators.wavelet import Wavelet

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
    "from_odl",
    "from_scipy",
    "kernels",
    "masks",
    "random_codes",
    "sampling",
    "stack",
    "trajectories",
]
