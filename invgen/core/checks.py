"""Checks of what users and files give: whole numbers, values of expected types, finite arrays."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from invgen.core.errors import ParameterError
from invgen.core.text import quoted

if TYPE_CHECKING:
    import torch

__all__ = ["as_count", "has_type", "is_count", "nonfinite"]

#: Places along the first axis that a message lists.
_LISTED = 8


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


def nonfinite(
    values: torch.Tensor, names: Sequence[str] = (), numbers: torch.Tensor | None = None
) -> str | None:
    """How many values are NaN or infinite, and where the first are, in words; None where there are none.

    Parameters
    ----------
    values : tensor
    names : sequence of str
        What the last axes count, such as ``("view", "column")``: all of them, or those after a batch.
    numbers : integer tensor, shape (len(values),), optional
        What the entries of the first axis are called, where they are not counted from 0.

    Returns
    -------
    str or None
        As in "42 NaN or infinite values of 46080, in 2 of 180 views (17, 20), the first at index (17, 100):
        view 17, columns 100 to 120"; without the index where there are `numbers`.
    """
    bad = ~values.isfinite()
    if not bad.any():
        return None
    names = names[max(0, len(names) - bad.ndim) :]
    count, first = int(bad.sum()), bad.nonzero()[0].tolist()
    text = f"{count} NaN or infinite value{'s' * (count != 1)} of {bad.numel()}"
    if 1 < bad.ndim == len(names):
        places = bad.flatten(1).any(1).nonzero().reshape(-1).cpu()
        rows = (places if numbers is None else numbers[places]).tolist()
        shown = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
        text += f", in {len(rows)} of {len(bad)} {_plural(names[0])} ({shown})"
    if numbers is None:
        place = _place(bad, first, names)
        return f"{text}, the first at index {tuple(first)}{place and ': '}{place}"
    return f"{text}, the first at {_place(bad, first, names, numbers)}"


def _place(
    bad: torch.Tensor, first: list[int], names: Sequence[str], numbers: torch.Tensor | None = None
) -> str:
    """Place of the first bad entry by the names of the last axes, and how far they go on along the last."""
    if not names:
        return ""
    at = first if numbers is None else [int(numbers[first[0]]), *first[1:]]
    words = [f"{name} {place}" for name, place in zip(names, at[-len(names) :], strict=True)]
    start, row = first[-1], bad[tuple(first[:-1])]
    end = start + int(row[start:].byte().cumprod(0).sum()) - 1
    if end > start:
        words[-1] = f"{_plural(names[-1])} {start} to {end}"
    return ", ".join(words)


def _plural(name: str) -> str:
    return name if name in ("kx", "ky", "kz") else f"{name}s"
