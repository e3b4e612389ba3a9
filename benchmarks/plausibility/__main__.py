"""Plausibility of data: lossless compression.

    python -m benchmarks.plausibility [section ...]

Needs the folder of sample data (``INVGEN_DATA``).
"""

from __future__ import annotations

from benchmarks.plausibility.compression import compression
from benchmarks.report import run

run(compression)
