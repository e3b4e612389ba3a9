"""Densities: of images and patches in closed form, and of points in a few dimensions."""

from invgen.priors.densities.gaussian import Gaussian
from invgen.priors.densities.histogram import Histogram
from invgen.priors.densities.kernel_density import KernelDensity
from invgen.priors.densities.mixture import GaussianMixture
from invgen.priors.densities.nearest_neighbors import NearestNeighbors
from invgen.priors.densities.neural_cdf import NeuralCDF
from invgen.priors.densities.patches import PatchMixture
from invgen.priors.densities.tangent_kernels import TangentKernelDensity

__all__ = [
    "Gaussian",
    "GaussianMixture",
    "Histogram",
    "KernelDensity",
    "NearestNeighbors",
    "NeuralCDF",
    "PatchMixture",
    "TangentKernelDensity",
]
