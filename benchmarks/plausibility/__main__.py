"""How plausible data are under a prior.

    python -m benchmarks.plausibility [module ...]

Each module of this folder that has a function ``benchmark(report)`` can be named. Needs the folder of sample
data (``INVGEN_DATA``).
"""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.report import Report

for name in sys.argv[1:] or ["warnings"]:
    import_module(f"benchmarks.plausibility.{name}").benchmark(Report())
