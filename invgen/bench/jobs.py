"""Cells run in processes of their own, within a time and a memory: here, or on the workers of a cluster.

`run_job` is called by a thread of an executor, local or of dask, and keeps one process for its thread;
`run_here` runs a cell in the process that calls it, of which nothing is limited.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

from invgen.bench.worker import Reply, Request, answer, receive, send

__all__ = ["Here", "Job", "Limits", "end_workers", "pickled", "run_here", "run_job"]

#: Seconds between two looks at the memory of a worker.
_INTERVAL = 0.1


@dataclass(frozen=True)
class Limits:
    """What a cell may take.

    Attributes
    ----------
    seconds : float
    memory : int
        In bytes, of the whole process.
    threads : int
        Of PyTorch and of compiled loops; results can depend on their number.
    """

    seconds: float
    memory: int
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A cell to run, with suite and entry as pickles; without an entry, its problem's content to be found."""

    suite: bytes
    task: Any
    image: str
    seed: int
    entry: bytes | None = None
    settings: Mapping[str, float] = field(default_factory=dict)


def pickled(value: object) -> bytes:
    """The pickle of a suite or an entry, also of functions that are defined in a script or a notebook."""
    import cloudpickle

    return cloudpickle.dumps(value)


class _Worker:
    """A process that runs cells; it is ended when one takes too much."""

    def __init__(self, threads: int) -> None:
        self.threads, self._had = threads, set[str]()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
        count = str(threads)
        numbers = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from invgen.bench.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **dict.fromkeys(numbers, count)},
            start_new_session=True,  # Ctrl-C is the parent's
        )
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError):  # of a process that ends at once, as the first cell finds
            receive(self._process.stdout)  # it is ready: to start takes no time of a cell

    def run(self, job: Job, limits: Limits) -> Reply:
        new: dict[str, bytes] = {}
        suite, entry = self._name(job.suite, new), None if job.entry is None else self._name(job.entry, new)
        request = Request(suite, entry, job.settings, job.task, job.image, job.seed, new)
        replies: list[Reply] = []

        def ask() -> None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                send(self._process.stdin, request)
                replies.append(receive(self._process.stdout))
            except (EOFError, OSError):
                pass  # the process is gone

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        verdict = self._watch(asking, limits)
        if verdict is None and replies:
            return replies[0]
        self._process.kill()
        asking.join()
        reply = Reply(error=verdict or self._death(), traceback=self._said())
        self.end()
        return reply

    def _name(self, data: bytes, new: dict[str, bytes]) -> str:
        """Hash of a pickle, which is among what is `new` where the process has not had it."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self._had:
            self._had.add(name)
            new[name] = data
        return name

    def _watch(self, asking: threading.Thread, limits: Limits) -> str | None:
        """Wait for the answer; what it takes too much of, or None."""
        import psutil

        began = time.monotonic()
        try:
            process = psutil.Process(self._process.pid)
        except psutil.Error:  # it has just ended
            asking.join()
            return None
        while asking.is_alive():
            asking.join(_INTERVAL)
            if time.monotonic() - began > limits.seconds:
                return f"TimeLimit: took longer than {limits.seconds:g} s"
            try:
                memory = process.memory_info().rss
            except psutil.Error:
                memory = 0
            if memory > limits.memory:
                return f"MemoryLimit: took more than {limits.memory / 2**30:.1f} GiB"
        return None

    def _death(self) -> str:
        return f"ProcessEnded: exit code {self._process.wait()}"

    def _said(self) -> str | None:
        """The end of what the process wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()[-4000:].decode(errors="replace") or None

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # of what could not be written any more
                stream.close()
        self._errors.close()


_own = threading.local()
_workers: set[_Worker] = set()


def run_job(job: Job, limits: Limits) -> Reply:
    """Run a cell in the process of this thread: what it gave, or why it gave nothing."""
    worker: _Worker | None = getattr(_own, "worker", None)
    if worker is None or not worker.alive or worker.threads != limits.threads:
        worker = _own.worker = _Worker(limits.threads)
        _workers.add(worker)
    reply = worker.run(job, limits)
    if not worker.alive:
        _workers.discard(worker)
    return _shortened(reply)


def run_here(job: Job, limits: Limits) -> Reply:
    """Run a cell in this process: what it gave, or why it gave nothing."""
    pickles = {"suite": job.suite} if job.entry is None else {"suite": job.suite, "entry": job.entry}
    entry = None if job.entry is None else "entry"
    return _shortened(
        answer(Request("suite", entry, job.settings, job.task, job.image, job.seed, pickles), {})
    )


def _shortened(reply: Reply) -> Reply:
    return reply if reply.error is None else replace(reply, error=reply.error[:500])


class Here(Executor):
    """Does at once what it is given, so that Ctrl-C ends it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **settings: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        future.set_result(function(*args, **settings))
        return future


def end_workers() -> None:
    """End all processes of this one."""
    while _workers:
        _workers.pop().end()
