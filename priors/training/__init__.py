"""Training of learned priors."""

from invgen.priors.training.engine import Training
from invgen.priors.training.score_matching import ScoreMatching

__all__ = ["ScoreMatching", "Training"]
