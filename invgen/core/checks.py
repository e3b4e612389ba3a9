"""Numbers of things."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

__all__ = ["is_count"]


def is_count(value: Any, largest: float = math.inf) -> bool:
    """Whether `value` is a whole number, of Python or NumPy, from one to the largest."""
    return isinstance(value, Integral) and 1 <= int(value) <= largest
