"""Times of several functions side by side."""

from __future__ import annotations

import time
from collections.abc import Callable


def fastest(*functions: Callable[[], object], repeats: int = 15) -> list[float]:
    """Shortest wall time of each, called in turns so that other work on the machine meets all of them alike.

    Ratios of single milliseconds are asked for: medians of a shared machine would be its other users'.
    """
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for kept, function in zip(times, functions, strict=True):
            began = time.perf_counter()
            function()
            kept.append(time.perf_counter() - began)
    return [min(kept) for kept in times]
