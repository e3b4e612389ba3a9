"""Plausibility of data: anomalies, compression, purification, classification.

    python -m benchmarks.plausibility [section ...]

Needs the folder of sample data (``INVGEN_DATA``), and for JPEG XL the package pillow-jxl-plugin.
"""

from __future__ import annotations

from benchmarks.plausibility.anomaly import anomaly
from benchmarks.plausibility.compression import compression, pictures
from benchmarks.report import run

run(compression, pictures, anomaly)
