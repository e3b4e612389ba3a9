"""Stopping work where it can go on later: Ctrl-C, and the SIGTERM of a batch system."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Stopped", "deferred_interrupts"]


class Stopped(Exception):
    """Nobody waits for the result any more."""


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Defer Ctrl-C to where the block asks whether there was one; a second one stops at once.

    SIGTERM likewise, where it would raise a KeyboardInterrupt as Ctrl-C does. In other threads than the main
    one, where Python allows no handlers, nothing is deferred.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    # what another handler does with a signal, that of a notebook or of a test, stays as it is
    own = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is signal.default_int_handler
    ]

    def restore() -> None:
        for number in own:
            signal.signal(number, signal.default_int_handler)

    def ask(number: int, frame: Any) -> None:
        restore()
        asked.append(number)

    for number in own:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        restore()
