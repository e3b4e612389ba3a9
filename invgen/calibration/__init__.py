"""Intervals with a guarantee: those of any solver, rescaled so that they cover new problems at a level.

>>> known = ig.calibration.conformal(solver, zip(problems, truths), level=0.9)
>>> low, high = known.apply(solver, problem, solver(problem, samples=8, seed=0))
"""

from invgen.calibration.conformal import conformal
from invgen.calibration.factors import conformal_factors, hoeffding_bentkus, least_problems
from invgen.calibration.intervals import ConformalIntervals
from invgen.calibration.kinds import Kind
from invgen.calibration.widths import Band, band_of

__all__ = [
    "Band",
    "ConformalIntervals",
    "Kind",
    "band_of",
    "conformal",
    "conformal_factors",
    "hoeffding_bentkus",
    "least_problems",
]
