"""Posterior samplers with the priors that ship, beside what needs no training.

    python -m benchmarks.posterior [section ...]

Needs the folder of sample data (``INVGEN_DATA``). Weights in the folder ``INVGEN_WEIGHTS`` go before those
that come with the package.
"""

from __future__ import annotations

from benchmarks.posterior.magnetic_resonance import magnetic_resonance, other_heads
from benchmarks.posterior.overhead import overhead
from benchmarks.posterior.tomography import chest, discs, tomography
from benchmarks.report import run

run(
    magnetic_resonance,
    other_heads,
    tomography,
    chest,
    discs,
    overhead,
)
