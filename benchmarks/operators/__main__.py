"""Imaging and sensing operators: every figure of this package, some beside its peers'.

    python -m benchmarks.operators [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

import sys

from benchmarks.operators.closed_forms import solve
from benchmarks.operators.peers import blur, downsample, sensing, transforms
from benchmarks.report import Report

SECTIONS = {f.__name__: f for f in (solve, transforms, sensing, blur, downsample)}

report = Report()
for name in sys.argv[1:] or SECTIONS:
    SECTIONS[name](report)
sys.exit(report.failed > 0)
