"""Priors: what images look like."""

from invgen.priors.base import Composite, Denoiser, Density, Prior, Proximable, Sampler
from invgen.priors.checkpoints import about, load
from invgen.priors.constraints import Box, NonNegative
from invgen.priors.cycle_spinning import CycleSpunWavelets
from invgen.priors.denoisers import BM3D, NonLocalMeans, TVDenoiser
from invgen.priors.diffusion import Diffusion
from invgen.priors.gaussian import Gaussian
from invgen.priors.kernel_density import KernelDensity
from invgen.priors.mixture import GaussianMixture
from invgen.priors.network_denoiser import NetworkDenoiser
from invgen.priors.patches import PatchMixture
from invgen.priors.prox_denoiser import ProxDenoiser
from invgen.priors.sparse import DCT, L1, GroupSparsity, Wavelet
from invgen.priors.sums import Sum
from invgen.priors.tikhonov import Tikhonov
from invgen.priors.tv import TotalVariation

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
