"""Convex solvers beside their peers.

    python -m benchmarks.solvers [section ...]

Needs ``pip install -c constraints.txt -e '.[peers]'``.
"""

from __future__ import annotations

from benchmarks.report import run
from benchmarks.solvers.denoising import total_variation
from benchmarks.solvers.magnetic_resonance import wavelet_mri, wavelets
from benchmarks.solvers.sparsity import lasso

run(total_variation, wavelet_mri, wavelets, lasso)
