"""Variational autoencoders."""

from invgen.priors.vae.gaussian import Posterior
from invgen.priors.vae.hierarchical import HierarchicalVAE
from invgen.priors.vae.model import VAE
from invgen.priors.vae.vq_vae import VQVAE

__all__ = ["VAE", "VQVAE", "HierarchicalVAE", "Posterior"]
