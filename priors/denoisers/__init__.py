"""Denoisers as priors."""

from invgen.priors.denoisers.autoencoder import DenoisingAutoencoder
from invgen.priors.denoisers.classical import BM3D, NonLocalMeans, TVDenoiser
from invgen.priors.denoisers.cycle_spinning import CycleSpunWavelets
from invgen.priors.denoisers.network import NetworkDenoiser
from invgen.priors.denoisers.planes import Planes
from invgen.priors.denoisers.proximal import ProxDenoiser

__all__ = [
    "BM3D",
    "CycleSpunWavelets",
    "DenoisingAutoencoder",
    "NetworkDenoiser",
    "NonLocalMeans",
    "Planes",
    "ProxDenoiser",
    "TVDenoiser",
]
