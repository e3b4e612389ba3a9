"""Priors: closed forms beside linear algebra, and the weights that ship beside what needs no training.

    python -m benchmarks.priors [section ...]

Needs the folder of sample data (``INVGEN_DATA``), and the package `bm3d` for one of the rows. Weights in the
folder ``INVGEN_WEIGHTS``, such as ``digits.safetensors``, go before those that come with the package.
"""

from __future__ import annotations

from benchmarks.priors.closed_forms import conversions, densities, posteriors
from benchmarks.priors.digits import digits
from benchmarks.priors.generative import generative
from benchmarks.priors.held_out import brain_mr, chest_ct, ct_phantoms
from benchmarks.priors.photographs import photographs
from benchmarks.report import run

run(posteriors, conversions, densities, digits, generative, photographs, ct_phantoms, chest_ct, brain_mr)
