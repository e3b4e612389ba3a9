"""Generators: images that a map makes of latent variables."""

from invgen.priors.generators.latents import LatentGenerator, NormalLatents
from invgen.priors.generators.module import ModuleGenerator, from_module

__all__ = ["LatentGenerator", "ModuleGenerator", "NormalLatents", "from_module"]
