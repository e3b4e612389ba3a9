"""Tests of anomalies: whether an image is one that the prior has seen the like of."""

from invgen.plausibility.anomaly.base import Statistic
from invgen.plausibility.anomaly.detector import AnomalyDetector
from invgen.plausibility.anomaly.likelihood import BatchTypicality, LogLikelihood, Typicality
from invgen.plausibility.anomaly.power import Proportion, Roc, auroc, power, roc
from invgen.plausibility.anomaly.ratios import InputComplexity, LikelihoodRatio
from invgen.plausibility.anomaly.reconstruction import ReconstructionError
from invgen.plausibility.anomaly.scores import ScoreNorms
from invgen.plausibility.anomaly.states import STATISTICS, DensityOfStates, SymmetryAndStates, recommended
from invgen.plausibility.anomaly.symmetry import SymmetryRatio

__all__ = [
    "STATISTICS",
    "AnomalyDetector",
    "BatchTypicality",
    "DensityOfStates",
    "InputComplexity",
    "LikelihoodRatio",
    "LogLikelihood",
    "Proportion",
    "ReconstructionError",
    "Roc",
    "ScoreNorms",
    "Statistic",
    "SymmetryAndStates",
    "SymmetryRatio",
    "Typicality",
    "auroc",
    "power",
    "recommended",
    "roc",
]
