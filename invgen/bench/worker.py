"""A process that runs cells, one after another: what hangs, crashes or fills the memory takes only it along.

Started by `invgen.bench.jobs`. Messages are pickles behind their length, on standard input and on what was
standard output when the process began: methods may print.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

__all__ = ["Reply", "Request", "answer", "main", "receive", "send"]


@dataclass(frozen=True)
class Request:
    """A cell to run; without an entry, the content of its problem to be found.

    Attributes
    ----------
    suite, entry : str
        Hashes of their pickles.
    pickles : mapping of str to bytes
        By hash, those that the worker has not had yet.
    settings, task, image, seed
        As of `invgen.bench.suite.Suite.judge`.
    """

    suite: str
    entry: str | None
    settings: Mapping[str, float]
    task: Any
    image: str
    seed: int
    pickles: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What came of a request: an `invgen.bench.record.Outcome`, a content, or an error and its traceback."""

    outcome: Any = None
    error: str | None = None
    traceback: str | None = None


def send(stream: IO[bytes], message: object) -> None:
    """Write a message."""
    data = pickle.dumps(message)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a message.

    Raises
    ------
    EOFError
        Where the other side is gone.
    """
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    data = stream.read(int.from_bytes(size, "little"))
    return pickle.loads(data)


def main() -> None:
    """Answer requests until the parent is gone, also while one is running."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.Queue[Request] = queue.Queue()

    def listen() -> None:
        try:
            while True:
                requests.put(receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    import torch

    import invgen.bench.image_suite  # noqa: F401, what nearly every cell needs: no cell's time

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    send(replies, Reply())
    known: dict[str, Any] = {}
    while True:
        send(replies, answer(requests.get(), known))


def answer(request: Request, known: dict[str, Any]) -> Reply:
    """Run a cell, or find a content, in this process; `known` keeps suites and entries by the hashes."""
    try:
        known |= {name: pickle.loads(data) for name, data in request.pickles.items()}
        suite, problem = known[request.suite], (request.task, request.image, request.seed)
        if request.entry is None:
            return Reply(suite.content(*problem))
        _forget_peak()
        outcome = suite.judge(known[request.entry], request.settings, *problem)
        memory = _peak()
        # copied, as the pickle of a view holds all of what it is a view of
        arrays = {name: image.detach().cpu().clone() for name, image in outcome.arrays.items()}
        costs = {**outcome.costs, **({} if memory is None else {"peak_memory": memory})}
        return Reply(replace(outcome, costs=costs, arrays=arrays))
    except Exception as error:  # whatever a method raises is a row of the table
        line = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Reply(error=line, traceback=traceback.format_exc())


def _forget_peak() -> None:
    """Let the largest memory of the process count from here on, where Linux does."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def _peak() -> float | None:
    """Largest memory of the process in bytes since `_forget_peak`; None where that is not known."""
    try:
        with open("/proc/self/status") as file:
            lines = [line.split() for line in file if line.startswith("VmHWM:")]
    except OSError:
        return None
    return 1024.0 * int(lines[0][1]) if lines else None
