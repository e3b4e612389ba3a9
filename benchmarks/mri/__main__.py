"""Magnetic resonance imaging: every figure of this package beside its peers'.

    python -m benchmarks.mri [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

import sys

from benchmarks.mri.operators import cartesian, noncartesian
from benchmarks.mri.scans import brain, maps, spiral
from benchmarks.report import Report

SECTIONS = {f.__name__: f for f in (cartesian, noncartesian, maps, brain, spiral)}

report = Report()
for name in sys.argv[1:] or SECTIONS:
    SECTIONS[name](report)
sys.exit(report.failed > 0)
