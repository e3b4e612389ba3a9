"""Priors: what images look like."""

from invgen.priors.base import Composite, Denoiser, Density, Prior, Proximable, Sampler
from invgen.priors.denoisers import (
    BM3D,
    CycleSpunWavelets,
    NetworkDenoiser,
    NonLocalMeans,
    ProxDenoiser,
    TVDenoiser,
)
from invgen.priors.densities import Gaussian, GaussianMixture, KernelDensity, PatchMixture
from invgen.priors.diffusion import Diffusion
from invgen.priors.files.checkpoints import about, load
from invgen.priors.penalties import (
    DCT,
    L1,
    Box,
    GroupSparsity,
    NonNegative,
    Sum,
    Tikhonov,
    TotalVariation,
    Wavelet,
)

__all__ = [
    "BM3D",
    "DCT",
    "L1",
    "Box",
    "Composite",
    "CycleSpunWavelets",
    "Denoiser",
    "Density",
    "Diffusion",
    "Gaussian",
    "GaussianMixture",
    "GroupSparsity",
    "KernelDensity",
    "NetworkDenoiser",
    "NonLocalMeans",
    "NonNegative",
    "PatchMixture",
    "Prior",
    "ProxDenoiser",
    "Proximable",
    "Sampler",
    "Sum",
    "TVDenoiser",
    "Tikhonov",
    "TotalVariation",
    "Wavelet",
    "about",
    "load",
]
