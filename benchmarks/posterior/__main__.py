"""Posterior samplers with the priors that ship, beside what needs no training.

    python -m benchmarks.posterior [section ...]

Needs the folder of sample data (``INVGEN_DATA``). Weights in the folder ``INVGEN_WEIGHTS`` go before those
that come with the package.
"""

from __future__ import annotations

from benchmarks.posterior.conformal import intervals
from benchmarks.posterior.discs import discs
from benchmarks.posterior.overhead import overhead
from benchmarks.posterior.particles import mixtures_8, mixtures_80, small_noise
from benchmarks.report import run

run(discs, overhead, intervals, small_noise, mixtures_8, mixtures_80)
