"""Text from files in messages: short, on one line, and without control characters."""

from __future__ import annotations

__all__ = ["brief", "quoted"]


def quoted(text: object, most: int = 80) -> str:
    """Quote a text that a file states: at most `most` of its characters, control characters escaped."""
    whole = str(text)
    return repr(whole) if len(whole) <= most else f"{whole[:most]!r}..."


def brief(error: object, most: int = 160) -> str:
    """What another library says of an error, which may repeat any text of the file, on one line."""
    return quoted(" ".join(str(error).split()), most).strip("'\"")
