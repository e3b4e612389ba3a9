"""Splitting methods for convex objectives: proximal gradients, ADMM, primal-dual, the lasso."""

from invgen.solvers.proximal.admm import ADMM
from invgen.solvers.proximal.compressed_sensing import BasisPursuit, Lasso
from invgen.solvers.proximal.condat_vu import CondatVu
from invgen.solvers.proximal.pdhg import PDHG
from invgen.solvers.proximal.proximal_gradient import FISTA, ISTA

__all__ = ["ADMM", "FISTA", "ISTA", "PDHG", "BasisPursuit", "CondatVu", "Lasso"]
