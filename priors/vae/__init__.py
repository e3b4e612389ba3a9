"""Variational autoencoders."""

from invgen.priors.vae.model import VAE, Posterior
from invgen.priors.vae.vq_vae import VQVAE

__all__ = ["VAE", "VQVAE", "Posterior"]
