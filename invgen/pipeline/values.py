"""Kinds of values that options take: checked, read from text, and written as that text again.

What `read` makes of what `write` has written is the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from invgen.core.checks import as_count, is_count
from invgen.core.errors import ParameterError

__all__ = [
    "LOWEST",
    "Choice",
    "Count",
    "Flag",
    "Name",
    "Names",
    "Number",
    "Settings",
    "Slices",
    "Value",
    "are_numbers",
    "select",
]

#: The lowest whole number that a seed or an index can be.
LOWEST = -(2**63)


class Value:
    """A kind of values.

    Attributes
    ----------
    metavar : str
        How a value is written on the command line, for its help.
    syntax : str
        How to write it, where that takes a sentence.
    python : str
        What it is in Python, for docstrings.
    repeated : bool
        Whether its option may be typed several times: with each of the `texts` of a value.
    """

    metavar: str = "NAME"
    syntax: str = ""
    python: str = "str"
    repeated: bool = False

    def check(self, value: Any, name: str) -> Any:
        """The value in one form, of those that Python may give.

        Raises
        ------
        ParameterError
            Where it is none of this kind.
        """
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """The value that a text stands for.

        Raises
        ------
        ValueError
            Whose message says what it should be.
        """
        return text

    def write(self, value: Any) -> Any:
        """The value as JSON holds it: a number, true or false, else its text; None where it has none."""
        return value

    def texts(self, value: Any) -> list[str]:
        """What is typed, of values that are `repeated`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Name(Value):
    """A name, of an array or of a file."""

    metavar: str = "NAME"

    def check(self, value: Any, name: str) -> str:
        """A name; paths become one."""
        if not isinstance(value, str | Path):
            raise ParameterError(f"{name} is a name; got {value!r}.")
        return str(value)


@dataclass(frozen=True)
class Names(Value):
    """One name or several, of files: on the command line each is typed with the option before it."""

    metavar: str = "FILE"
    repeated = True
    syntax = "May be given several times."
    python = "str, path, or a list of such"

    def check(self, value: Any, name: str) -> tuple[str, ...] | None:
        """A tuple of names; None of an empty one."""
        given = value if isinstance(value, list | tuple) else (value,)
        return tuple(Name(self.metavar).check(each, name) for each in given) or None

    def write(self, value: Sequence[str]) -> list[str]:
        """A list of names."""
        return list(value)

    def texts(self, value: Sequence[str]) -> list[str]:
        """Each name."""
        return list(value)


@dataclass(frozen=True)
class Choice(Value):
    """One of several names, which a function gives where it takes long to find them."""

    names: Sequence[str] | Callable[[], Sequence[str]]
    metavar: str = "NAME"
    syntax: str = ""

    def check(self, value: Any, name: str) -> str:
        """One of the names."""
        names = self.names() if callable(self.names) else self.names
        if value not in names:
            raise ParameterError(f"{name} is one of {', '.join(names)}; got {value!r}.")
        return str(value)

    def read(self, text: str) -> str:
        """One of the names."""
        names = self.names() if callable(self.names) else self.names
        if text not in names:
            raise ValueError(f"{text!r} is none of {', '.join(names)}.")
        return text


class Flag(Value):
    """Yes or no."""

    python = "bool"

    def check(self, value: Any, name: str) -> bool:
        """True or False."""
        if not isinstance(value, bool):
            raise ParameterError(f"{name} is True or False; got {value!r}.")
        return value


@dataclass(frozen=True)
class Count(Value):
    """A whole number of at least `least`."""

    least: int = 1

    metavar = "N"
    python = "int"

    def check(self, value: Any, name: str) -> int:
        """An int of Python."""
        return as_count(value, name, least=self.least)

    def read(self, text: str) -> int:
        """Digits."""
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is no whole number.") from None
        if number < self.least:
            raise ValueError(f"{number} is less than {self.least}.")
        return number


class Number(Value):
    """A number; None, written "auto", where it is chosen from the data."""

    metavar = "auto|NUMBER"
    python = 'number or "auto"'

    def check(self, value: Any, name: str) -> float | None:
        """A float, or None for "auto"."""
        if value == "auto":
            return None
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ParameterError(f"{name} is a number or 'auto'; got {value!r}.")
        # an estimate is a float that has its standard error with it
        return value if isinstance(value, float) else float(value)

    def write(self, value: float) -> float:
        """The number alone."""
        return float(value)

    def read(self, text: str) -> float | None:
        """A number, or None for "auto"."""
        if text == "auto":
            return None
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is neither a number nor auto.") from None


@dataclass(frozen=True)
class Slices(Value):
    """A slice ``start:stop:step``, or a single index."""

    metavar = "A:B:STEP"
    syntax = "Counted from 0, B left out; ::4 is every fourth."
    python = "slice or int"

    def check(self, value: Any, name: str) -> slice:
        """A slice; of an index, that which has it alone."""
        if isinstance(value, range):
            value = slice(value.start, value.stop, value.step)
        if is_count(value, least=LOWEST):
            return slice(int(value), int(value) + 1 or None)
        if not isinstance(value, slice):
            raise ParameterError(f"{name} is a slice, such as slice(2, 4), or an index; got {value!r}.")
        start, stop = (end if end is None else as_count(end, name, least=LOWEST) for end in _ends(value))
        step = 1 if value.step is None else as_count(value.step, f"the step of {name}")
        return slice(start, stop, None if step == 1 else step)

    def read(self, text: str) -> slice:
        """``a:b``, ``a:b:step`` or a single number."""
        try:
            numbers = [int(part) if part else None for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1 and numbers[0] is not None:
            return slice(numbers[0], numbers[0] + 1 or None)
        step = numbers[2] if len(numbers) == 3 else None
        if 2 <= len(numbers) <= 3 and (step is None or step > 0):
            return slice(*numbers)
        raise ValueError(
            f"{text!r} is no range; write a:b, a:b:step (positive) or one number, counted from 0, b left out."
        )

    def write(self, value: slice) -> str:
        """The shortest text."""
        if value.step is None and value.start is not None and value.stop == (value.start + 1 or None):
            return str(value.start)
        parts = [*_ends(value), *([] if value.step is None else [value.step])]
        return ":".join("" if part is None else str(part) for part in parts)


class Settings(Value):
    """Hyper-parameters by their names."""

    metavar = "NAME=VALUE"
    repeated = True
    syntax = (
        "May be given several times; VALUE is a number, true, false, a word such as auto, or numbers with "
        "commas between them."
    )
    python = "dict from str to number, bool, str or tuple of numbers"

    def check(self, value: Any, name: str) -> dict[str, Any]:
        """A dict, with tuples for lists, and Python's own numbers."""
        if not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
            raise ParameterError(f"{name} are values by name, such as {{'zeta': 0.3}}; got {value!r}.")
        return {key: _plain(each) for key, each in value.items()}

    def read(self, text: str) -> dict[str, Any]:
        """The one of ``name=value``, the value being a number, true, false, a word, or ``a,b``."""
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier() and value):
            raise ValueError(f"{text!r} is no NAME=VALUE, such as zeta=0.3.")
        parts = [_scalar(part) for part in value.split(",")]
        return {name: parts[0] if len(parts) == 1 else tuple(parts)}

    def write(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Values that JSON holds."""
        return {name: list(each) if isinstance(each, tuple) else each for name, each in value.items()}

    def texts(self, value: Mapping[str, Any]) -> list[str]:
        """One ``name=value`` for each of them."""
        return [f"{name}={_text(each)}" for name, each in value.items()]


def _ends(value: slice) -> tuple[int | None, int | None]:
    return value.start, value.stop


def select(selection: slice | None, count: int, what: str) -> range:
    """List the indices that a selection leaves of `count`; `what` is ``"slices"`` or ``"views"``.

    Raises
    ------
    ParameterError
        Where none is left.
    """
    indices = range(count)[selection or slice(None)]
    if not indices:
        raise ParameterError(f"--{what} selects none of the {count} {what}, 0 to {count - 1}.")
    return indices


def _plain(value: Any) -> Any:
    """A number as int or float, a list as a tuple of them; others as they are."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _scalar(text: str) -> Any:
    """A number, a truth value or a word."""
    for read in (int, float, {"true": True, "false": False}.__getitem__):
        try:
            return read(text)
        except (ValueError, KeyError):
            continue
    return text


def _text(value: Any) -> str:
    """A number, truth value, word or tuple of numbers as `_scalar` reads it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def are_numbers(values: Any) -> bool:
    """Whether it is a sequence of real numbers."""
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and all(isinstance(each, Real) and not isinstance(each, bool) for each in values)
    )
