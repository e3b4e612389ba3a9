"""Transforms of images: finite differences, wavelets, cosines, Walsh-Hadamard."""

from invgen.operators.transforms.cosine import DCT
from invgen.operators.transforms.gradient import Gradient
from invgen.operators.transforms.hadamard import Hadamard
from invgen.operators.transforms.wavelet import Wavelet

__all__ = ["DCT", "Gradient", "Hadamard", "Wavelet"]
