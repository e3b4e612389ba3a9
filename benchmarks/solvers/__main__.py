"""Convex solvers beside their peers.

    python -m benchmarks.solvers [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

import sys

from benchmarks.report import Report
from benchmarks.solvers.denoising import total_variation

SECTIONS = {f.__name__: f for f in (total_variation,)}

report = Report()
for name in sys.argv[1:] or SECTIONS:
    SECTIONS[name](report)
sys.exit(report.failed > 0)
