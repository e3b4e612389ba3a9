"""Lévy processes as priors, and their posteriors by Gibbs samplers and by sums over a grid."""

from invgen.certification.levy.gibbs import Gibbs
from invgen.certification.levy.increments import BernoulliLaplace, GaussianJumps, Increments, Laplace, Student
from invgen.certification.levy.problems import SIGNALS, levy_posterior, levy_setting
from invgen.certification.levy.process import LevyProcess

__all__ = [
    "SIGNALS",
    "BernoulliLaplace",
    "GaussianJumps",
    "Gibbs",
    "Increments",
    "Laplace",
    "LevyProcess",
    "Student",
    "levy_posterior",
    "levy_setting",
]
