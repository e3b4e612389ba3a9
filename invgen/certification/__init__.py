"""Samplers against posteriors that are known exactly.

>>> ig.certification.certify(ig.solvers.DDS, "mixture-8-1", samples=200, rounds=2)

The sampler sees nothing of the prior but its denoiser, and of a Gaussian a linear generator.
`invgen.testing.check_sampler` holds the figures to bounds; ``invgen certify`` and the suite "certify" of the
benchmark put those of many samplers into tables.

Two ways need no known posterior: `rank_truths` ranks truths among samples (simulation-based calibration, and
TARP), `kernel_stein` holds samples against the score of their density.
"""

from invgen.certification.cases import CASES, GAUSSIAN, MIXTURES, SMALL_NOISE, find_case
from invgen.certification.fields import FIELDS, field_setting
from invgen.certification.figures import Figures, certify
from invgen.certification.ranks import Ranks, rank_truths
from invgen.certification.setting import Case, Setting
from invgen.certification.stationary import FieldPosterior, field_posterior
from invgen.certification.stein import Stein, kernel_stein, posterior_score
from invgen.certification.view import DenoiserView, GeneratorView

__all__ = [
    "CASES",
    "FIELDS",
    "GAUSSIAN",
    "MIXTURES",
    "SMALL_NOISE",
    "Case",
    "DenoiserView",
    "FieldPosterior",
    "Figures",
    "GeneratorView",
    "Ranks",
    "Setting",
    "Stein",
    "certify",
    "field_posterior",
    "field_setting",
    "find_case",
    "kernel_stein",
    "posterior_score",
    "rank_truths",
]
