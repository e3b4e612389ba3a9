"""Solvers: from a problem and a prior to a reconstruction."""

from invgen.solvers.base import Solver
from invgen.solvers.density_map import DensityMAP
from invgen.solvers.diffusion import (
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    DiffPIR,
    DiffusionSolver,
    PiGDM,
    REDdiff,
    SplitGibbs,
)
from invgen.solvers.direct import FBP, FDK, Gridding, RootSumOfSquares, ZeroFilled
from invgen.solvers.langevin import ULA, AnnealedLangevin, PreconditionedLangevin, PredictorCorrector
from invgen.solvers.latent import (
    PULSE,
    FlowMAP,
    ImageAdaptive,
    IntermediateLayerOptimization,
    LatentHMC,
    LatentLangevin,
    LatentOptimization,
    LatentSolver,
    SparseDeviation,
)
from invgen.solvers.least_squares import CG, MLEM, OSSART, SIRT
from invgen.solvers.partial_fourier import POCS, Homodyne
from invgen.solvers.particles import FPS, MCGDiff, TwistedSMC
from invgen.solvers.plug_and_play import EPLL, RED, PnPADMM, PnPHQS, PnPPGD
from invgen.solvers.proximal import ADMM, FISTA, ISTA, PDHG, BasisPursuit, CondatVu, Lasso
from invgen.solvers.sampling.base import PosteriorSampler
from invgen.solvers.state import State

__all__ = [
    "ADMM",
    "CG",
    "DAPS",
    "DDNM",
    "DDRM",
    "DDS",
    "DPS",
    "EPLL",
    "FBP",
    "FDK",
    "FISTA",
    "FPS",
    "ISTA",
    "MLEM",
    "OSSART",
    "PDHG",
    "POCS",
    "PULSE",
    "RED",
    "SIRT",
    "ULA",
    "AnnealedLangevin",
    "BasisPursuit",
    "CondatVu",
    "DensityMAP",
    "DiffPIR",
    "DiffusionSolver",
    "FlowMAP",
    "Gridding",
    "Homodyne",
    "ImageAdaptive",
    "IntermediateLayerOptimization",
    "Lasso",
    "LatentHMC",
    "LatentLangevin",
    "LatentOptimization",
    "LatentSolver",
    "MCGDiff",
    "PiGDM",
    "PnPADMM",
    "PnPHQS",
    "PnPPGD",
    "PosteriorSampler",
    "PreconditionedLangevin",
    "PredictorCorrector",
    "REDdiff",
    "RootSumOfSquares",
    "Solver",
    "SparseDeviation",
    "SplitGibbs",
    "State",
    "TwistedSMC",
    "ZeroFilled",
]
