"""Imaging and sensing operators: every figure of this package, some beside its peers'.

    python -m benchmarks.operators [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

from benchmarks.operators.closed_forms import solve
from benchmarks.operators.peers import blur, downsample, sensing, transforms
from benchmarks.report import run

run(solve, transforms, sensing, blur, downsample)
