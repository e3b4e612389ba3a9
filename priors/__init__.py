"""Priors: what images look like.

==================  ====================================================================================
folder              holds
==================  ====================================================================================
`penalties`         convex penalties: `TotalVariation`, `L1`, `Wavelet`, `DCT`, `GroupSparsity`,
                    `Tikhonov`, the constraints `NonNegative` and `Box`, and their sums
`densities`         closed forms: `Gaussian`, `GaussianMixture`, `KernelDensity`; of patches `PatchMixture`
`denoisers`         `NonLocalMeans`, `TVDenoiser`, `CycleSpunWavelets`, `BM3D`; any penalty as a
                    `ProxDenoiser`, any network as a `NetworkDenoiser`
`diffusion`         diffusion models, `Diffusion`
`autoregressive`    masked convolutions, `Autoregressive`
`vae`               variational autoencoders: `VAE`, and `VQVAE` with discrete codes
`nets`              architectures of networks, one in each file
`training`          training of networks: `invgen.priors.training`
`files`             `load` and `about`: files of this package, and published diffusion models
==================  ====================================================================================

`base` has the protocols, which say what a prior can do (`Proximable`, `Composite`, `Denoiser`, `Density`,
`Sampler`, `Generator`, `Energy`); `image_format` what images it is made for; `learned` what all learned
families share.
"""

from invgen.priors.autoregressive import Autoregressive
from invgen.priors.base import (
    Composite,
    Denoiser,
    Density,
    Energy,
    Generator,
    Prior,
    Proximable,
    Sampler,
)
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
from invgen.priors.files.checkpoints import about
from invgen.priors.files.loading import load
from invgen.priors.image_format import ImageFormat, format_of
from invgen.priors.learned import Learned
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
from invgen.priors.vae import VAE, VQVAE

__all__ = [
    "BM3D",
    "DCT",
    "L1",
    "VAE",
    "VQVAE",
    "Autoregressive",
    "Box",
    "Composite",
    "CycleSpunWavelets",
    "Denoiser",
    "Density",
    "Diffusion",
    "Energy",
    "Gaussian",
    "GaussianMixture",
    "Generator",
    "GroupSparsity",
    "ImageFormat",
    "KernelDensity",
    "Learned",
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
    "format_of",
    "load",
]
