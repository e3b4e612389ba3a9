"""Kinds of values with a unit or with bounds, or of several numbers: angles, lengths, sizes, counts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from invgen.core.checks import as_count, is_count
from invgen.core.errors import ParameterError
from invgen.pipeline.values import LOWEST, Slices, Value, are_numbers

__all__ = [
    "Angle",
    "Angles",
    "Between",
    "Columns",
    "Counts",
    "Degrees",
    "Device",
    "Entries",
    "FieldOfView",
    "KspaceCenter",
    "Lengths",
    "Side",
    "Sizes",
    "Window",
]

_CUDA = re.compile(r"cuda(:\d+(,\d+)*)?")

#: Significant digits of a number, the fewest first.
_DIGITS = range(1, 18)


class Device(Value):
    """Where to compute."""

    metavar = "auto|cpu|cuda|cuda:N,..."

    def check(self, value: Any, name: str) -> str:
        """The name."""
        try:
            return self.read(str(value))
        except ValueError as error:
            raise ParameterError(f"{name}: {error}") from None

    def read(self, text: str) -> str:
        """auto, cpu, cuda, or cuda with numbers of devices."""
        numbers = text.partition(":")[2].split(",")
        if text in ("auto", "cpu") or (_CUDA.fullmatch(text) and len(set(numbers)) == len(numbers)):
            return text
        raise ValueError(
            f"{text!r} is no device: auto, cpu, cuda, cuda:1, or several as cuda:0,1, each of them once."
        )


class Degrees(Value):
    """A range of angles: in radians, written in degrees."""

    metavar = "A:B"
    syntax = "In degrees, B left out; 350:20 wraps past 360."
    python = "(float, float), radians"

    def check(self, value: Any, name: str) -> tuple[float, float]:
        """Two floats."""
        if not are_numbers(value) or len(value) != 2:
            raise ParameterError(f"{name} is a pair of angles in radians; got {value!r}.")
        start, stop = map(float, value)
        return start, stop

    def read(self, text: str) -> tuple[float, float]:
        """``a:b`` in degrees."""
        try:
            start, stop = (math.radians(float(part)) for part in text.split(":"))
        except ValueError:
            raise ValueError(f"{text!r} is not A:B, two angles in degrees.") from None
        return start, stop

    def write(self, value: tuple[float, float]) -> str:
        """The shortest text that means the same radians."""
        return ":".join(map(_degrees, value))


class Angle(Value):
    """An angle: in radians, written in degrees."""

    metavar = "DEGREES"
    python = "number, radians"

    def check(self, value: Any, name: str) -> float:
        """A float."""
        if isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < math.pi / 2:
            return float(value)
        raise ParameterError(f"{name} is an angle in radians, of less than pi / 2; got {value!r}.")

    def read(self, text: str) -> float:
        """A number of degrees."""
        try:
            return math.radians(float(text))
        except ValueError:
            raise ValueError(f"{text!r} is no angle in degrees.") from None

    def write(self, value: float) -> str:
        """The shortest text that means the same radians."""
        return _degrees(value)


class Angles(Value):
    """Angles of all views: in radians, or the name of what holds them."""

    metavar = "ANGLES"
    syntax = "Or START:STOP:COUNT in degrees, STOP left out: 0:180:60 is 0, 3, ... 177."
    python = "str, or array of shape (views,), radians"

    def check(self, value: Any, name: str) -> str | tuple[float, ...]:
        """A name, or a tuple of floats."""
        if isinstance(value, str | Path):
            return str(value)
        values = value.tolist() if hasattr(value, "tolist") else value
        if not are_numbers(values) or not values:
            raise ParameterError(f"{name} are numbers in radians, or a name; got {value!r}.")
        return tuple(map(float, values))

    def read(self, text: str) -> str | tuple[float, ...]:
        """``start:stop:count`` in degrees, the stop left out; anything else is a name."""
        if span := re.fullmatch(r"([^:/]+):([^:/]+):(\d+)", text):
            try:
                return _steps(float(span[1]), float(span[2]), int(span[3]))
            except ValueError:
                pass
        return text

    def write(self, value: str | tuple[float, ...]) -> str | None:
        """The name or the steps; None of angles that are no such steps."""
        if isinstance(value, str):
            return value
        count = len(value)
        start, last = math.degrees(value[0]), math.degrees(value[-1])
        stop = last + (last - start) / (count - 1) if count > 1 else start + 1
        for digits in _DIGITS:
            text = f"{_rounded(start, digits)}:{_rounded(stop, digits)}:{count}"
            if self.read(text) == value:
                return text
        return None


class Lengths(Value):
    """A length in m, or several."""

    metavar = "M"
    syntax = "0.24,0.2 is high, wide."
    python = "number, or tuple of them, m"

    def check(self, value: Any, name: str) -> float | tuple[float, ...]:
        """A float, or a tuple of them."""
        values = value if isinstance(value, Sequence) else (value,)
        if not are_numbers(values):
            raise ParameterError(f"{name} is a length in m, or one for each axis; got {value!r}.")
        lengths = tuple(map(float, values))
        return lengths[0] if len(lengths) == 1 else lengths

    def read(self, text: str) -> float | tuple[float, ...]:
        """Numbers with commas between them."""
        try:
            lengths = tuple(float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"{text!r} is no length in m, nor lengths such as 0.24,0.2.") from None
        return lengths[0] if len(lengths) == 1 else lengths

    def write(self, value: float | tuple[float, ...]) -> str:
        """Numbers with commas between them."""
        return ",".join(map(repr, value if isinstance(value, tuple) else (value,)))


@dataclass(frozen=True)
class Between(Value):
    """A number from `low` to `high`."""

    low: float = 0.0
    high: float = math.inf
    metavar: str = "NUMBER"

    python = "number"

    def check(self, value: Any, name: str) -> float:
        """A float."""
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
        if not self.low <= number <= self.high:
            raise ParameterError(f"{name} is {self._bounds()}; got {value!r}.")
        return number

    def read(self, text: str) -> float:
        """A number."""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not self.low <= number <= self.high:
            raise ValueError(f"{text!r} is not {self._bounds()}.")
        return number

    def _bounds(self) -> str:
        if self.high == math.inf:
            return f"a number of at least {self.low:g}"
        return f"a number from {self.low:g} to {self.high:g}"


class Counts(Value):
    """Several whole numbers, each of at least one."""

    metavar = "N,N,..."
    python = "tuple of int"

    def check(self, value: Any, name: str) -> tuple[int, ...]:
        """A tuple of int."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ParameterError(f"{name} are whole numbers, such as (64, 128); got {value!r}.")
        return tuple(as_count(part, name) for part in value)

    def read(self, text: str) -> tuple[int, ...]:
        """Numbers with commas between them."""
        try:
            counts = tuple(int(part) for part in text.split(","))
        except ValueError:
            counts = (0,)
        if min(counts) < 1:
            raise ValueError(f"{text!r} is no list of numbers such as 64,128.")
        return counts

    def write(self, value: tuple[int, ...]) -> str:
        """Numbers with commas between them."""
        return ",".join(map(str, value))


class Entries(Value):
    """An entry along an axis, or along several: whole numbers; negative ones count from the end."""

    metavar = "N"
    syntax = "Counted from 0; 2,0 for two such axes."
    python = "int, or tuple of int"

    def check(self, value: Any, name: str) -> tuple[int, ...]:
        """A tuple of int."""
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        return tuple(as_count(part, name, least=LOWEST) for part in values)

    def read(self, text: str) -> tuple[int, ...]:
        """Numbers with commas between them."""
        try:
            return tuple(int(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"{text!r} is neither a whole number nor several, such as 2,0.") from None

    def write(self, value: tuple[int, ...]) -> str:
        """Numbers with commas between them."""
        return ",".join(map(str, value))


class Columns(Value):
    """Ranges of detector columns; or a word: auto, off."""

    metavar = "A:B,..."
    syntax = "auto, off, or ranges such as 0:8,112:120, B left out."
    python = '"auto", "off", or tuple of (int, int)'

    def check(self, value: Any, name: str) -> str | tuple[tuple[int, int], ...]:
        """A word, or a tuple of pairs of int."""
        if value in ("auto", "off"):
            return str(value)
        pairs = [] if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
        if not pairs or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in pairs):
            raise ParameterError(f'{name} is "auto", "off", or pairs of columns; got {value!r}.')
        return tuple((as_count(a, name, least=0), as_count(b, name)) for a, b in pairs)

    def read(self, text: str) -> str | tuple[tuple[int, int], ...]:
        """A word, or ``a:b`` with commas between them."""
        if text in ("auto", "off"):
            return text
        try:
            pairs = [part.split(":") for part in text.split(",")]
            return tuple((int(a), int(b)) for a, b in pairs)
        except ValueError:
            raise ValueError(
                f"{text!r} is not auto, off, or ranges of columns such as 0:8,112:120."
            ) from None

    def write(self, value: str | tuple[tuple[int, int], ...]) -> str:
        """The word, or ranges with commas between them."""
        return value if isinstance(value, str) else ",".join(f"{a}:{b}" for a, b in value)


class KspaceCenter(Value):
    """An entry of k-space: a word, or a number along each axis."""

    metavar = "WHERE"
    syntax = "middle, corner, or numbers such as 64,48."
    python = '"middle", "corner" or tuple of int'

    def check(self, value: Any, name: str) -> str | tuple[int, ...]:
        """A word, or a tuple of int."""
        if value in ("middle", "corner"):
            return str(value)
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise ParameterError(f'{name} is "middle", "corner", or a number for each axis; got {value!r}.')
        return tuple(as_count(part, name, least=0) for part in value)

    def read(self, text: str) -> str | tuple[int, ...]:
        """A word, or numbers with commas between them."""
        if text in ("middle", "corner"):
            return text
        try:
            return tuple(int(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"{text!r} is not middle, corner, or numbers such as 64,48.") from None

    def write(self, value: str | tuple[int, ...]) -> str:
        """The word, or numbers with commas between them."""
        return value if isinstance(value, str) else ",".join(map(str, value))


class Sizes(Value):
    """Numbers of pixels along the axes of an image."""

    metavar = "HxW"
    python = "tuple of int"

    def check(self, value: Any, name: str) -> tuple[int, ...]:
        """A tuple of int."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ParameterError(f"{name} is a tuple of whole numbers; got {value!r}.")
        return tuple(as_count(part, name) for part in value)

    def read(self, text: str) -> tuple[int, ...]:
        """``HxW`` or ``DxHxW``."""
        try:
            sizes = tuple(int(part) for part in text.lower().split("x"))
        except ValueError:
            sizes = (0,)
        if min(sizes) < 1:
            raise ValueError(f"{text!r} is no HxW, such as 256x192.")
        return sizes

    def write(self, value: tuple[int, ...]) -> str:
        """``HxW``."""
        return "x".join(map(str, value))


class Side(Value):
    """Height and width of an image in pixels; one number for both."""

    metavar = "N|HxW"
    python = "int, or (int, int)"

    def check(self, value: Any, name: str) -> int | tuple[int, int]:
        """An int, or two of them where they differ."""
        sizes = (value, value) if is_count(value) else value
        if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) != 2:
            raise ParameterError(f"{name} is a whole number, or height and width; got {value!r}.")
        height, width = (as_count(part, name) for part in sizes)
        return height if height == width else (height, width)

    def read(self, text: str) -> int | tuple[int, int]:
        """``N`` or ``HxW``."""
        try:
            sizes = [int(part) for part in text.lower().split("x")]
        except ValueError:
            sizes = []
        if not 1 <= len(sizes) <= 2 or min(sizes) < 1:
            raise ValueError(f"{text!r} is neither a positive number of pixels nor HxW, such as 256x192.")
        height, width = sizes[0], sizes[-1]
        return height if height == width else (height, width)

    def write(self, value: int | tuple[int, int]) -> int | str:
        """``N`` or ``HxW``."""
        return value if isinstance(value, int) else "x".join(map(str, value))


class Window(Value):
    """Rows and columns of an image, both a range of pixels."""

    metavar = "Y0:Y1,X0:X1"
    syntax = "Counted from 0, the ends left out; an end that is missing is that of the image."
    python = "(slice, slice)"

    def check(self, value: Any, name: str) -> tuple[slice, slice]:
        """Two slices without steps."""
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise ParameterError(f"{name} is two ranges, of rows and of columns; got {value!r}.")
        rows, columns = (Slices().check(part, name) for part in value)
        if rows.step is not None or columns.step is not None:
            raise ParameterError(f"{name} keeps every pixel of its ranges; got steps in {value!r}.")
        return rows, columns

    def read(self, text: str) -> tuple[slice, slice]:
        """``Y0:Y1,X0:X1``."""
        parts = text.split(",")
        if len(parts) != 2 or any(part.count(":") != 1 for part in parts):
            raise ValueError(f"{text!r} is no Y0:Y1,X0:X1, such as 100:200,50:250: rows, then columns.")
        rows, columns = map(Slices().read, parts)
        return rows, columns

    def write(self, value: tuple[slice, slice]) -> str:
        """``Y0:Y1,X0:X1``."""
        ends = [[part.start, part.stop] for part in value]
        return ",".join(":".join("" if end is None else str(end) for end in pair) for pair in ends)


class FieldOfView(Value):
    """Where the object is: a word, or the radius of a disc."""

    metavar = "image|disc|RADIUS"
    python = "str or number"

    def check(self, value: Any, name: str) -> str | float:
        """A word or a float."""
        if value in ("image", "disc"):
            return str(value)
        if isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf:
            return float(value)
        raise ParameterError(f"{name} is image, disc or the radius of a disc; got {value!r}.")

    def read(self, text: str) -> str | float | None:
        """A word or a number; None for "auto"."""
        if text == "auto":
            return None
        try:
            return str(text) if text in ("image", "disc") else float(text)
        except ValueError:
            raise ValueError(f"{text!r} is neither image, disc, auto nor the radius of a disc.") from None


def _degrees(radians: float) -> str:
    """The shortest number of degrees that means these radians, as nearly as there is one."""
    degrees = math.degrees(radians)
    texts = [_rounded(degrees, digits) for digits in _DIGITS]
    return next((text for text in texts if math.radians(float(text)) == radians), texts[-1])


def _rounded(number: float, digits: int) -> str:
    return repr(float(f"{number:.{digits}g}")).removesuffix(".0")


def _steps(start: float, stop: float, count: int) -> tuple[float, ...]:
    """Equal steps from start to stop, which is left out, given in degrees, in radians."""
    import numpy as np

    return tuple(np.deg2rad(np.linspace(start, stop, count, endpoint=False)).tolist())
