"""Plausibility of data: adversarial images and their purification, classification by densities.

    python -m benchmarks.plausibility [section ...]

Needs the folder of sample data (``INVGEN_DATA``).
"""

from __future__ import annotations

from benchmarks.plausibility.classification import classification
from benchmarks.plausibility.purification import purification
from benchmarks.report import run

run(purification, classification)
