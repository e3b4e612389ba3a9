"""Computed tomography: every figure of this package beside its peers'.

    python -m benchmarks.ct [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

from benchmarks.ct.divergent import cone, convergence, fan, odl
from benchmarks.ct.package import package
from benchmarks.ct.parallel import accuracy, fbp, speed, tv
from benchmarks.ct.scans import htc, scan
from benchmarks.report import run

run(speed, accuracy, fbp, tv, scan, package, fan, convergence, cone, odl, htc)
