"""Plausibility of data: lossless compression.

    python -m benchmarks.plausibility [section ...]

Needs the folder of sample data (``INVGEN_DATA``), and for JPEG XL the package pillow-jxl-plugin.
"""

from __future__ import annotations

from benchmarks.plausibility.compression import compression, pictures
from benchmarks.report import run

run(compression, pictures)
