"""Densities in closed form, of images and of patches."""

from invgen.priors.densities.gaussian import Gaussian
from invgen.priors.densities.kernel_density import KernelDensity
from invgen.priors.densities.mixture import GaussianMixture
from invgen.priors.densities.patches import PatchMixture

__all__ = ["Gaussian", "GaussianMixture", "KernelDensity", "PatchMixture"]
