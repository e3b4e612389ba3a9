"""Priors: what images look like."""

from invgen.priors.base import Composite, Denoiser, Density, Prior, Proximable, Sampler
from invgen.priors.constraints import Box, NonNegative
from invgen.priors.gaussian import Gaussian
from invgen.priors.mixture import GaussianMixture
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
    "Density",
    "Gaussian",
    "GaussianMixture",
    "GroupSparsity",
    "NonNegative",
    "Prior",
    "Proximable",
    "Sampler",
    "Sum",
    "Tikhonov",
    "TotalVariation",
    "Wavelet",
]
