"""Solvers in the latent variables of a generator."""

from invgen.solvers.latent.hmc import LatentHMC
from invgen.solvers.latent.langevin import LatentLangevin

__all__ = ["LatentHMC", "LatentLangevin"]
