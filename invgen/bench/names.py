"""Names that a user types, and the nearest ones where there is none of that name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from invgen.core.errors import ParameterError

__all__ = ["require_name"]


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
    raise ParameterError(f"There is no {what} {name!r}; {offer}")
