"""Langevin dynamics: chains that follow the gradients of prior and data, with noise."""

from invgen.solvers.langevin.annealed import AnnealedLangevin
from invgen.solvers.langevin.preconditioned import PreconditionedLangevin
from invgen.solvers.langevin.predictor_corrector import PredictorCorrector
from invgen.solvers.langevin.unadjusted import ULA

__all__ = ["ULA", "AnnealedLangevin", "PreconditionedLangevin", "PredictorCorrector"]
