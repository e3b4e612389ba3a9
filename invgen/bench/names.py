"""Names that a user types, and the nearest ones where there is none of that name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from invgen.core.errors import ParameterError
from invgen.core.text import quoted

__all__ = ["imported", "require_name"]


def require_name(name: str, known: Iterable[str], what: str) -> str:
    """The name itself, where it is known.

    Raises
    ------
    ParameterError
        With the nearest names, or all of them.
    """
    listed = sorted(set(known))
    if name in listed:
        return name
    near = get_close_matches(name, listed, n=3, cutoff=0.5)
    offer = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(listed)}."
    raise ParameterError(f"There is no {what} {quoted(name)}; {offer}")


def imported(name: str) -> Any:
    """The object of a dotted name, ``package.module:name``.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ParameterError(f"{name!r} is no dotted name such as package.module:method: {error}.") from error
    return found
