"""Solvers in the latent variables of a generator."""

from invgen.solvers.latent.base import LatentSolver
from invgen.solvers.latent.csgm import LatentOptimization

__all__ = ["LatentOptimization", "LatentSolver"]
