"""Diffusion models: one denoiser for every noise level, its score, samples and density."""

from invgen.priors.diffusion.model import Diffusion

__all__ = ["Diffusion"]
