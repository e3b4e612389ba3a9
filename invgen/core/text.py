"""Text from files in messages: short, on one line, and without control characters."""

from __future__ import annotations

__all__ = ["brief", "printable", "quoted"]


def quoted(text: object, most: int = 80) -> str:
    """Quote a text that a file states: at most `most` of its characters, what does not print escaped."""
    whole = str(text)
    return repr(whole) if len(whole) <= most else f"{whole[:most]!r}..."


def printable(name: str | bytes, most: int = 200) -> str:
    """A name in a file without quotes: at most `most` of its characters, what does not print escaped."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    shown = text[:most]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return shown if len(text) <= most else f"{shown}..."


def brief(error: object, most: int = 160) -> str:
    """What another library says of an error, which may repeat any text of the file, on one line."""
    return printable(" ".join(str(error).split()), most)
