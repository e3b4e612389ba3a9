"""Reconstructions in one step: filtered backprojection, gridding, coil combination."""

from invgen.solvers.direct.coil_images import RootSumOfSquares, ZeroFilled
from invgen.solvers.direct.filtered_backprojection import FBP, FDK
from invgen.solvers.direct.gridding import Gridding

__all__ = ["FBP", "FDK", "Gridding", "RootSumOfSquares", "ZeroFilled"]
