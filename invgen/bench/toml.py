"""A suite of one's own images in a TOML file.

::

    name = "leaves"
    about = "Leaves behind a blur. Test: 2024; tuning: 2023."

    [images]
    test = ["2024/*.png"]        # relative to the file's folder
    tuning = ["2023/*.png"]
    size = 256                   # the middle; without it, all of each image
    gray = true
    data_range = 1.0             # largest minus smallest value: 1 for pictures

    [measurement]
    operator = "blur:1.6"        # a word of `invgen recon --operator`, or a class of invgen.operators:
    # operator = "Radon"
    # arguments = { angles = 60 }   # texts that end in .npy or .png are files
    noise = [0.01, 0.05]         # standard deviations, a task for each
    seeds = 1                    # the number of measurements of each image

    [[methods]]
    name = "tv"

    [[methods]]
    name = "diffpir"
    prior = "denoiser-gray"      # or a file
    samples = 8
    settings = { iterations = 25 }
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from invgen.bench.entries import KNOBS, entry, wavelets
from invgen.bench.measures import MEASURES
from invgen.bench.names import require_name
from invgen.bench.suite import Entry
from invgen.bench.suites.own import Measurement, OwnSuite, operator_classes
from invgen.core.errors import FileError, InvgenError
from invgen.core.text import brief, printable, quoted, read_text
from invgen.pipeline.measuring import measuring

__all__ = ["read_suite"]

#: Bytes of a file of a suite.
_MOST = 2**20

#: Keys of each table, and those of them that have to be there.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": (
        ("name", "about", "primary", "images", "measurement", "methods"),
        ("name", "images", "measurement", "methods"),
    ),
    "images": (("test", "tuning", "size", "gray", "data_range"), ("test",)),
    "measurement": (("operator", "arguments", "noise", "seeds"), ("operator", "noise")),
    "methods": (("name", "prior", "samples", "settings"), ("name",)),
}

_Types = tuple[tuple[type, ...], str]
_TEXT: _Types = ((str,), "a text")
_TEXTS: _Types = ((str, list), "a text or a list of texts")
_COUNT: _Types = ((int,), "a positive whole number")
_TABLE: _Types = ((dict,), "a table")

#: Type of the value of each key.
_TYPES: dict[str, _Types] = {
    "name": _TEXT,
    "about": _TEXT,
    "primary": _TEXT,
    "images": _TABLE,
    "measurement": _TABLE,
    "methods": ((list,), "a list of tables, each [[methods]]"),
    "test": _TEXTS,
    "tuning": _TEXTS,
    "size": _COUNT,
    "gray": ((bool,), "true or false"),
    "data_range": ((int, float), "a positive number"),
    "operator": _TEXT,
    "arguments": _TABLE,
    "noise": ((int, float, list), "a number or a list of numbers"),
    "seeds": _COUNT,
    "prior": _TEXT,
    "samples": _COUNT,
    "settings": _TABLE,
}


def read_suite(path: str | Path) -> OwnSuite:
    """The suite that a file describes.

    Parameters
    ----------
    path : path
        Of a TOML file, see `invgen.bench.toml`.

    Raises
    ------
    FileError
        Where it is no such file, has keys or values that are none, names images that are not there, or the
        same image for test and for tuning: with the line.
    """
    return _File(Path(path)).suite()


class _File:
    """A file, and which of its lines is at fault."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.resolve().parent
        try:
            self.text = read_text(path, "a suite", _MOST)
            self.content = tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, tables without end
            raise FileError(f"{path} is no suite: {brief(error)}.") from error

    def suite(self) -> OwnSuite:
        self._check("", self.content)
        images, measured = self.content["images"], self.content["measurement"]
        for table, found in (("images", images), ("measurement", measured)):
            self._check(table, found)
        for number, method in enumerate(self.content["methods"]):
            if not isinstance(method, dict):
                raise self._error("methods", "methods", "is a list of tables, each [[methods]]")
            self._check("methods", method, number)
        primary = self.content.get("primary", "psnr")
        self._guarded("", "primary", lambda: require_name(primary, MEASURES, "measure"))
        if not self.content["methods"]:
            raise self._error("methods", "methods", "has no table, each [[methods]]")
        measurement, methods = self._measurement(measured), enumerate(self.content["methods"])
        suite = OwnSuite(
            self.content["name"],
            self.content.get("about", f"The suite of {self.path.name}."),
            *self._images(images),
            measurement=measurement,
            levels=self._levels(measured["noise"]),
            entries=tuple(self._entry(method, i, measurement.use) for i, method in methods),
            size=images.get("size"),
            gray=images.get("gray", True),
            data_range=float(images.get("data_range", 1.0)),
            primary=primary,
            seeds=tuple(range(measured.get("seeds", 1))),
        )
        self._guarded(
            "measurement", "operator", lambda: suite.instance(suite.tasks[0], next(iter(suite.test)), 0)
        )
        return suite

    def _check(self, table: str, found: Mapping[str, Any], number: int = 0) -> None:
        """Refuse keys that are none, missing ones, and values of another type."""
        known, needed = _KEYS[table]
        for key, value in found.items():
            what = f"key of [{table}]" if table else "key"
            self._guarded(table, key, functools.partial(require_name, key, known, what), number)
            types, expected = _TYPES[key]
            fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            if not fits or (expected.startswith("a positive") and not value > 0):
                raise self._error(table, key, f"should be {expected}; it is {quoted(value)}", number)
        for key in needed:
            if key not in found:
                place = f"[{table}]" if table else "the file"
                held = printable(", ".join(found)) or "nothing"
                raise FileError(f"{self.path}: {place} lacks {key}; it has {held}.")

    def _images(self, table: Mapping[str, Any]) -> tuple[dict[str, Path], dict[str, Path]]:
        test, tuning = (self._matching(kind, table.get(kind, [])) for kind in ("test", "tuning"))
        if not test:
            raise self._error("images", "test", "has no pattern")
        contents = {path.read_bytes(): name for name, path in test.items()}
        for name, path in tuning.items():
            if (same := contents.get(path.read_bytes())) is not None:
                what = "is" if same == name else f"has the same content as {same}, which is"
                raise self._error("images", "tuning", f"has {name}, which {what} a test image too")
        return test, tuning

    def _matching(self, kind: str, patterns: str | Sequence[Any]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if not isinstance(pattern, str) or not pattern or Path(pattern).is_absolute():
                raise self._error(
                    "images", kind, f"has {quoted(pattern)}: patterns are relative to {self.folder}"
                )
            paths = sorted(path for path in self.folder.glob(pattern) if path.is_file())
            if not paths:
                raise self._error("images", kind, f"has {quoted(pattern)}: no file in {self.folder} is that")
            found |= {path.relative_to(self.folder).as_posix(): path for path in paths}
        return found

    def _measurement(self, table: Mapping[str, Any]) -> Measurement:
        name, arguments = table["operator"], table.get("arguments", {})
        if name not in operator_classes():
            try:
                measuring(name)
            except ValueError as error:
                near = ", ".join(operator_classes())
                raise self._error(
                    "measurement", "operator", f"is {quoted(name)}: {brief(error)}. Classes: {near}"
                ) from error
            if arguments:
                raise self._error(
                    "measurement", "arguments", f"are of a class; {name} has them after a colon"
                )
        return Measurement(name, arguments, self.folder)

    def _levels(self, noise: Any) -> tuple[float, ...]:
        levels = noise if isinstance(noise, list) else [noise]
        for level in levels:
            if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < math.inf:
                raise self._error(
                    "measurement", "noise", f"is a positive standard deviation; it is {quoted(level)}"
                )
        if not levels:
            raise self._error("measurement", "noise", "has no level")
        return tuple(map(float, levels))

    def _entry(self, method: Mapping[str, Any], number: int, use: str) -> Entry:
        name, prior = method["name"], method.get("prior", "")
        if name == "wavelets":
            return wavelets()
        if (self.folder / prior).is_file():
            prior = str(self.folder / prior)
        settings = {n: tuple(v) if isinstance(v, list) else v for n, v in method.get("settings", {}).items()}
        # a setting that is given is not tuned
        knob = name in KNOBS and KNOBS[name].name not in settings
        samples = method.get("samples", OwnSuite.samples)
        return self._guarded(
            "methods",
            "name",
            lambda: entry(name, use, prior, samples=samples, knob=knob, **settings),
            number,
        )

    def _guarded(self, table: str, key: str, call: Callable[[], Any], number: int = 0) -> Any:
        try:
            return call()
        except InvgenError as error:
            raise self._error(table, key, f"is at fault: {brief(error, 400)}", number) from error

    def _error(self, table: str, key: str, what: str, number: int = 0) -> FileError:
        line = self._line(table, key, number)
        place = "" if line is None else f", line {line[0]} ({printable(line[1], 80)})"
        return FileError(f"{self.path}{place}: {printable(key, 40)} {what}.")

    def _line(self, table: str, key: str, number: int) -> tuple[int, str] | None:
        """Number and text of the line that has a key of a table, the `number`-th of its name."""
        here, seen = "", -1
        for i, text in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([\w-]+)", text):
                here = header[1]
                seen += here == table
            elif here == table and seen in (number, -1) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", text):
                return i, text.strip()
        return None
