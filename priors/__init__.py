"""Priors: what images look like.

==================  ====================================================================================
folder              holds
==================  ====================================================================================
`penalties`         convex penalties: `TotalVariation`, `L1`, `Wavelet`, `DCT`, `GroupSparsity`,
                    `Tikhonov`, the constraints `NonNegative` and `Box`, and their sums
`densities`         closed forms: `Gaussian`, `GaussianMixture`, `KernelDensity`, `TangentKernelDensity`; of
                    patches `PatchMixture`; of points in a few dimensions `Histogram`, `NearestNeighbors`,
                    `NeuralCDF`
`denoisers`         `NonLocalMeans`, `TVDenoiser`, `CycleSpunWavelets`, `BM3D`; any penalty as a
                    `ProxDenoiser`, any network as a `NetworkDenoiser`; of volumes by their `Planes`
                    `DenoisingAutoencoder`, of one noise level and a Markov chain
`diffusion`         diffusion models, `Diffusion`
`autoregressive`    pixel by pixel, given those before: `Autoregressive`, `ContextTable`
`gan`               generative adversarial networks, `GAN`
`generators`        any network of latent variables as a generator, `from_module`
`flow`              normalizing flows: `Flow` of images, `VectorFlow` of vectors
`energy`            energy models, `EnergyModel`
`vae`               variational autoencoders: `VAE`, `HierarchicalVAE`, `VQVAE` with discrete codes
`nets`              architectures of networks, one in each file
`training`          training of networks: `invgen.priors.training`
`files`             `load` and `about`: files of this package, and published diffusion models
==================  ====================================================================================

`base` has the protocols, which say what a prior can do (`Proximable`, `Composite`, `Denoiser`, `Density`,
`Sampler`, `Sequential`, `Generator`, `Staged`, `Tunable`, `Energy`); `image_format` what images it is made
for; `learned` what all learned families share.
"""

from invgen.priors.autoregressive import Autoregressive, ContextTable
from invgen.priors.base import (
    Composite,
    Denoiser,
    Density,
    Energy,
    Generator,
    Prior,
    Proximable,
    Sampler,
    Sequential,
    Staged,
    Tunable,
)
from invgen.priors.denoisers import (
    BM3D,
    CycleSpunWavelets,
    DenoisingAutoencoder,
    NetworkDenoiser,
    NonLocalMeans,
    Planes,
    ProxDenoiser,
    TVDenoiser,
)
from invgen.priors.densities import (
    Gaussian,
    GaussianMixture,
    Histogram,
    KernelDensity,
    NearestNeighbors,
    NeuralCDF,
    PatchMixture,
    TangentKernelDensity,
)
from invgen.priors.diffusion import Diffusion
from invgen.priors.energy import EnergyModel
from invgen.priors.files.checkpoints import about
from invgen.priors.files.loading import load
from invgen.priors.flow import Flow, VectorFlow
from invgen.priors.gan import GAN
from invgen.priors.generators import ModuleGenerator, from_module
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
from invgen.priors.vae import VAE, VQVAE, HierarchicalVAE

__all__ = [
    "BM3D",
    "DCT",
    "GAN",
    "L1",
    "VAE",
    "VQVAE",
    "Autoregressive",
    "Box",
    "Composite",
    "ContextTable",
    "CycleSpunWavelets",
    "Denoiser",
    "DenoisingAutoencoder",
    "Density",
    "Diffusion",
    "Energy",
    "EnergyModel",
    "Flow",
    "Gaussian",
    "GaussianMixture",
    "Generator",
    "GroupSparsity",
    "HierarchicalVAE",
    "Histogram",
    "ImageFormat",
    "KernelDensity",
    "Learned",
    "ModuleGenerator",
    "NearestNeighbors",
    "NetworkDenoiser",
    "NeuralCDF",
    "NonLocalMeans",
    "NonNegative",
    "PatchMixture",
    "Planes",
    "Prior",
    "ProxDenoiser",
    "Proximable",
    "Sampler",
    "Sequential",
    "Staged",
    "Sum",
    "TVDenoiser",
    "TangentKernelDensity",
    "Tikhonov",
    "TotalVariation",
    "Tunable",
    "VectorFlow",
    "Wavelet",
    "about",
    "format_of",
    "from_module",
    "load",
]
