"""Solvers in the latent variables of a generator."""

from invgen.solvers.latent.base import LatentSolver
from invgen.solvers.latent.csgm import LatentOptimization
from invgen.solvers.latent.flow_map import FlowMAP
from invgen.solvers.latent.hmc import LatentHMC
from invgen.solvers.latent.image_adaptive import ImageAdaptive
from invgen.solvers.latent.intermediate import IntermediateLayerOptimization
from invgen.solvers.latent.langevin import LatentLangevin
from invgen.solvers.latent.pulse import PULSE
from invgen.solvers.latent.sparse_deviation import SparseDeviation

__all__ = [
    "PULSE",
    "FlowMAP",
    "ImageAdaptive",
    "IntermediateLayerOptimization",
    "LatentHMC",
    "LatentLangevin",
    "LatentOptimization",
    "LatentSolver",
    "SparseDeviation",
]
