"""Files of JSON: calibrations and the like, which may come from anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from invgen.core.checks import has_type
from invgen.core.errors import FileError
from invgen.core.files import atomic_path, check_regular
from invgen.core.text import parse_json, read_text

__all__ = ["check_entries", "read_json", "write_json"]


def read_json(path: str | PathLike[str], what: str) -> Any:
    """What a file holds; `what` says what it should be, such as "a calibration", for the message.

    Raises
    ------
    FileError
        For what is no regular file, or holds no JSON that can be read.
    """
    path = Path(path)
    check_regular(path)
    return parse_json(read_text(path, what), path)


def check_entries(header: Any, types: Mapping[str, Any], what: str) -> None:
    """Refuse what has not an entry of each type, see `has_type`; `what` is its name in the message.

    Raises
    ------
    FileError
        With the first entry that is missing, or of another type.
    """
    for name, kind in types.items():
        if not (isinstance(header, dict) and name in header and has_type(header[name], kind)):
            raise FileError(f"{what} has no {name} of its form.")


def write_json(path: str | PathLike[str], content: Any) -> None:
    """Write a file, beside and renamed; a ValueError for NaN and infinities, which JSON has not."""
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_path(Path(path)) as beside:
        beside.write_text(text, encoding="utf-8")
