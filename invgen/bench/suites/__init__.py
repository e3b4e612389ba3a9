"""The suites that come with the package, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from invgen.bench.suite import Suite

__all__ = ["SUITES"]

#: What makes each suite of a folder of data; only those that are asked for are imported.
SUITES: dict[str, Callable[[Path], Suite]] = {}
