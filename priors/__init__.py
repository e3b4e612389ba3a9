"""Priors: what images look like."""

from invgen.priors.base import Composite, Denoiser, Prior, Proximable
from invgen.priors.constraints import Box, NonNegative
from invgen.priors.sparse import DCT, L1, GroupSparsity, Wavelet
from invgen.priors.sums import Sum
from invgen.priors.tikhonov import Tikhonov
from invgen.priors.tv import TotalVariation

__all__ = [
    "DCT",
    "L1",
    "Box",
    "Composite",
    "Denoiser",
    "GroupSparsity",
    "NonNegative",
    "Prior",
    "Proximable",
    "Sum",
    "Tikhonov",
    "TotalVariation",
    "Wavelet",
]
