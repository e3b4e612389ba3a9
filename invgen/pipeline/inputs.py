"""Files that a command reads, by whatever option they are named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from glob import glob
from pathlib import Path

__all__ = ["named_files", "probe_inputs"]


def probe_inputs(*read: object) -> None:
    """Have a first look at all files that a command reads, see `invgen.io.probe`.

    Parameters
    ----------
    *read
        As of `named_files`.

    Raises
    ------
    FileError
        Where reading the metadata of one hangs or crashes.
    """
    from invgen.io.probe import probe

    for path in named_files(read):
        probe(path)


def named_files(values: Iterable[object]) -> Iterator[Path]:
    """Files and folders that are there, of values that may name them."""
    for value in values:
        if isinstance(value, Path):
            yield from [value] if value.exists() else _named(str(value))
        elif is_dataclass(value):
            yield from named_files(getattr(value, field.name) for field in fields(value))
        elif isinstance(value, Mapping):
            yield from named_files(value.values())
        elif isinstance(value, tuple | list):
            yield from named_files(value)
        elif isinstance(value, str):
            yield from _named(value)


def _named(text: str) -> Iterator[Path]:
    """Files that a text names: whole, as a pattern, or as one of its parts, as in ``inpaint:mask.png,2``."""
    ends = [found.start() for found in re.finditer("[:,]", text)]
    for first in [0, *(end + 1 for end in ends)]:
        for last in [*ends, len(text)]:
            part = text[first:last]
            with suppress(OSError, ValueError):  # too long for a name
                if part and os.path.exists(part):
                    yield Path(part)
                elif any(sign in part for sign in "*?["):
                    yield from map(Path, glob(part, recursive=True))
