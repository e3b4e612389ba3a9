"""Plausibility of data under priors: each section is a module of this package, and a function of its name.

    python -m benchmarks.plausibility [anomaly ...]

Needs the folder of sample data (``INVGEN_DATA``).
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks import plausibility
from benchmarks.report import run

NAMES = sorted(module.name for module in iter_modules(plausibility.__path__) if module.name != "__main__")
run(*(getattr(import_module(f"benchmarks.plausibility.{name}"), name) for name in NAMES))
