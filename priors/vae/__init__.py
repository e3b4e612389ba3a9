"""Variational autoencoders."""

from invgen.priors.vae.model import VAE, Posterior

__all__ = ["VAE", "Posterior"]
