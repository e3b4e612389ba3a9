"""Diffusion models: a denoiser of every noise level, with its score, samples and density."""

from invgen.priors.diffusion.model import Diffusion

__all__ = ["Diffusion"]
