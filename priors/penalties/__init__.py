"""Convex penalties: total variation, sparsity, energies, constraints, and their sums."""

from invgen.priors.penalties.constraints import Box, NonNegative
from invgen.priors.penalties.penalty import Sum
from invgen.priors.penalties.sparse import DCT, L1, GroupSparsity, Wavelet
from invgen.priors.penalties.tikhonov import Tikhonov
from invgen.priors.penalties.total_variation import TotalVariation

__all__ = ["DCT", "L1", "Box", "GroupSparsity", "NonNegative", "Sum", "Tikhonov", "TotalVariation", "Wavelet"]
