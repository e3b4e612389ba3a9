"""Counting the applications of an operator, without the operator knowing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["count_calls", "record_call"]

_calls: ContextVar[Counter[int] | None] = ContextVar("calls", default=None)


@contextmanager
def count_calls(operator: Any, **others: Any) -> Iterator[dict[str, int]]:
    """Count the applications of an operator within the block.

    Parameters
    ----------
    operator : Operator
    **others : object
        What else is counted, by name.

    Yields
    ------
    dict
        Filled at the end of the block: the number of applications under "forward", "adjoint" and "gram", and
        under the names of `others`. Where the singular value decomposition of the operator is known by then,
        those of its two factors and their adjoints are under "svd"; a factor that is the operator itself
        counts as such.
    """
    counter: Counter[int] = Counter()
    result: dict[str, int] = {}
    token = _calls.set(counter)
    try:
        yield result
    finally:
        _calls.reset(token)
        own = {
            "forward": operator,
            "adjoint": getattr(operator, "H", None),
            "gram": operator.__dict__.get("gram"),  # which may cost much to build, and has then no calls
        }
        result.update({name: 0 if A is None else counter[id(A)] for name, A in (own | others).items()})
        svd = operator.__dict__.get("svd")
        if svd is not None:
            factors = {id(A) for factor in (svd.U, svd.V) for A in (factor, factor.H)}
            result["svd"] = sum(counter[key] for key in factors - {id(A) for A in own.values()})


def record_call(operator: Any) -> None:
    """Note one application of `operator`, or of what else is counted, where someone counts."""
    counter = _calls.get()
    if counter is not None:
        counter[id(operator)] += 1
