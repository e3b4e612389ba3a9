"""Solvers in the latent variables of generators, beside penalties and diffusion samplers.

    python -m benchmarks.latent [section ...]

Needs the folder of sample data (``INVGEN_DATA``), whose generators of digits are published ones. Pictures are
written into the current folder.
"""

from __future__ import annotations

from benchmarks.latent.compressed_sensing import compressed_sensing
from benchmarks.latent.scans import scans
from benchmarks.latent.speed import speed
from benchmarks.latent.tasks import tasks
from benchmarks.report import run

run(compressed_sensing, tasks, speed, scans)
