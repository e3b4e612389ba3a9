"""Convex solvers beside their peers.

    python -m benchmarks.solvers [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

from benchmarks.report import run
from benchmarks.solvers.denoising import total_variation

run(total_variation)
