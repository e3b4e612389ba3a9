"""Counting how often an operator is applied, without the operator knowing."""

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
    """Count the calls of `operator`, of its adjoint and of its gram, and of others by name, within the block.

    The dictionary that it gives is filled at the end of the block.
    """
    counter: Counter[int] = Counter()
    result: dict[str, int] = {}
    token = _calls.set(counter)
    try:
        yield result
    finally:
        _calls.reset(token)
        related = {
            "forward": operator,
            "adjoint": operator.__dict__.get("H"),
            "gram": operator.__dict__.get("gram"),
            **others,
        }
        result.update({name: 0 if A is None else counter[id(A)] for name, A in related.items()})


def record_call(operator: Any) -> None:
    """Note one application of `operator`, or of what else is counted, where someone counts."""
    counter = _calls.get()
    if counter is not None:
        counter[id(operator)] += 1
