"""Magnetic resonance imaging: every figure of this package beside its peers'.

    python -m benchmarks.mri [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

from benchmarks.mri.operators import cartesian, noncartesian
from benchmarks.mri.scans import brain, maps, partial, spiral
from benchmarks.report import run

run(cartesian, noncartesian, maps, brain, spiral, partial)
