"""Checks of what users give: whole numbers."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from invgen.core.errors import ParameterError

__all__ = ["as_count", "is_count"]


def is_count(value: Any, most: float = math.inf, *, least: int = 1) -> bool:
    """Whether `value` is a whole number, of Python or NumPy, from `least` to `most`; True is none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def as_count(value: Any, name: str, *, least: int = 1, most: float = math.inf) -> int:
    """The whole number `value` as an int of Python.

    Parameters
    ----------
    value : int or integer of NumPy
    name : str
        What the number is, for the message: ``"iterations"``, ``"DDS's cg_steps"``.
    least, most : numbers
        The limits, included.

    Raises
    ------
    ParameterError
        For what is no whole number (True and 5.0 are none), or beyond the limits.
    """
    if not is_count(value, most, least=least):
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ParameterError(f"{name} is a whole number {limits}; got {value!r}.")
    return int(value)
