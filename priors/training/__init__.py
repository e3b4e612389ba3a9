"""Training of learned priors."""

from invgen.priors.training.batches import Batches, random_phases
from invgen.priors.training.completion import train_completion
from invgen.priors.training.diffusion import train_diffusion
from invgen.priors.training.engine import Training, Update
from invgen.priors.training.families import train
from invgen.priors.training.log import read_log
from invgen.priors.training.noisy import SURE, Noise2Self
from invgen.priors.training.score_matching import ScoreMatching
from invgen.priors.training.splitting import Splitting

__all__ = [
    "SURE",
    "Batches",
    "Noise2Self",
    "ScoreMatching",
    "Splitting",
    "Training",
    "Update",
    "random_phases",
    "read_log",
    "train",
    "train_completion",
    "train_diffusion",
]
