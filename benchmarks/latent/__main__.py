"""Solvers in the latent variables of generators: restarts at once, CT and MRI.

    python -m benchmarks.latent [section ...]

Needs the folder of sample data (``INVGEN_DATA``), whose generators of digits are published ones. Pictures are
written into the current folder.
"""

from __future__ import annotations

from benchmarks.latent.scans import scans
from benchmarks.latent.speed import speed
from benchmarks.report import run

run(speed, scans)
