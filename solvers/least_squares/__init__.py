"""Least squares and maximum likelihood, regularized by stopping early."""

from invgen.solvers.least_squares.algebraic import OSSART, SIRT
from invgen.solvers.least_squares.cg import CG
from invgen.solvers.least_squares.mlem import MLEM

__all__ = ["CG", "MLEM", "OSSART", "SIRT"]
