"""Computed tomography: every figure of this package beside its peers'.

    python -m benchmarks.ct [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

import sys

from benchmarks.ct.divergent import cone, convergence, fan, odl
from benchmarks.ct.package import package
from benchmarks.ct.parallel import accuracy, fbp, speed, tv
from benchmarks.ct.scans import htc, scan
from benchmarks.report import Report

SECTIONS = {
    f.__name__: f for f in (speed, accuracy, fbp, tv, scan, package, fan, convergence, cone, odl, htc)
}

report = Report()
for name in sys.argv[1:] or SECTIONS:
    SECTIONS[name](report)
sys.exit(report.failed > 0)
