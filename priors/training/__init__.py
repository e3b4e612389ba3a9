"""Training of learned priors."""

from invgen.priors.training.batches import Batches, random_phases
from invgen.priors.training.engine import Training, read_log
from invgen.priors.training.score_matching import ScoreMatching

__all__ = ["Batches", "ScoreMatching", "Training", "random_phases", "read_log"]
