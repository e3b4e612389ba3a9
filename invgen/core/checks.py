"""Checks of what users and files give: whole numbers, and values of the types that are expected."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, Union, get_args, get_origin

from invgen.core.errors import ParameterError
from invgen.core.text import quoted

__all__ = ["as_count", "has_type", "is_count"]


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
        raise ParameterError(f"{name} is a whole number {limits}; got {quoted(value)}.")
    return int(value)


def has_type(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a type, such as ``Mapping[str, float | str]``; True is no number."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return value in inner
    if origin in (Union, types.UnionType):
        return any(has_type(value, each) for each in inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            has_type(key, inner[0]) and has_type(each, inner[1]) for key, each in value.items()
        )
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(has_type(each, inner[0]) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
