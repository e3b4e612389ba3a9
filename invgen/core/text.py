"""Text of others, in files and in names: parsed whatever it is, and shown in one line of a message."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from invgen.core.errors import FileError

__all__ = ["brief", "escaped", "parse_json", "printable", "quoted", "read_text"]

_LONGEST = 80  # characters of the text of a file that a message quotes
_REASON = 160  # and of what a library says
_TEXT_LIMIT = 2**26  # bytes; settings, cards, headers and lists of angles are shorter

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 3, _LONGEST, _LONGEST


def escaped(text: object) -> str:
    """Text in one line: line ends, escape sequences and other characters that do not print are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in _string(text))


def quoted(value: object, most: int = _LONGEST) -> str:
    """Text of a file, or another value of it, as a message quotes it: in quotes, escaped, and not longer."""
    if not isinstance(value, str | bytes | Path):
        return _cut(escaped(_short.repr(value)), most)
    return f"'{_cut(escaped(_string(value, most + 1)), most)}'"


def printable(name: str | bytes, most: int = 200) -> str:
    """A name in a file without quotes, in one line: escaped, and cut where it is longer."""
    return _cut(escaped(_string(name, most + 1)), most)


def brief(error: object, most: int = _REASON) -> str:
    """What a library says went wrong, in one line without its last stop; its kind, where it says nothing."""
    return _cut(escaped(" ".join(str(error).split()).rstrip(".")), most) or type(error).__name__


def _string(text: object, most: int | None = None) -> str:
    if isinstance(text, bytes):
        return text[:most].decode("utf-8", "backslashreplace")
    return str(text)[:most]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def parse_json(text: str | bytes, what: object) -> Any:
    """Parse JSON that may be anything: no text, nested without end, with numbers of a million digits.

    Parameters
    ----------
    text : str or bytes
    what : object
        What holds it, for the message.

    Raises
    ------
    FileError
        When it is no JSON that can be read.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:  # also of an encoding, and what is no text
        raise FileError(f"{escaped(what)} is no JSON that can be read: {brief(error)}.") from error


def read_text(path: Path, what: str, limit: int = _TEXT_LIMIT) -> str:
    """Read a file of text in UTF-8, with or without a byte order mark.

    Parameters
    ----------
    path : Path
    what : str
        What it should be, such as "a list of angles", for the message.
    limit : int
        Bytes that such a file can have.

    Raises
    ------
    FileError
        When it cannot be read, is larger, or is no such text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise FileError(f"{escaped(path)} is no {what.removeprefix('a ')}: it is over {limit:,} bytes.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"{escaped(path)} cannot be read: {error.strerror or brief(error)}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{escaped(path)} is not {what}: it is no text in UTF-8.") from error
