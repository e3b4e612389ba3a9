"""Plausibility of data: anomalies, compression, purification, classification, warnings on scans.

    python -m benchmarks.plausibility [--full] [section ...]

Of warnings few scans are reconstructed; with --full as many as in RESULTS.md, for forty minutes of one core.
Needs the folder of sample data (``INVGEN_DATA``), and for JPEG XL the package pillow-jxl-plugin.
"""

from __future__ import annotations

from benchmarks.plausibility.anomaly import anomaly
from benchmarks.plausibility.classification import classification
from benchmarks.plausibility.compression import compression, pictures
from benchmarks.plausibility.purification import purification
from benchmarks.plausibility.raw_scans import raw_scans
from benchmarks.plausibility.warnings import warnings
from benchmarks.report import run

run(anomaly, compression, pictures, purification, classification, warnings, raw_scans)
