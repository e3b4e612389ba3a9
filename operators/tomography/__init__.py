"""Computed tomography."""

from invgen.operators.tomography.cone import ConeBeam
from invgen.operators.tomography.fan import FanBeam
from invgen.operators.tomography.radon import Radon

__all__ = ["ConeBeam", "FanBeam", "Radon"]
