"""Compiled kernels, PyTorch and FINUFFT on one processor's threads, called from any thread and process.

All three start threads by OpenMP. GNU's does not survive a fork: a child inherits the record of a team whose
threads are gone, and waits for them. A forked child therefore computes on one thread, without OpenMP.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, wraps
from threading import Lock
from types import FunctionType
from typing import Any, TypeVar

import torch

__all__ = ["apart_from_openmp", "deterministic", "parallel", "pool_of_one", "serial", "thread_count"]

T = TypeVar("T")

#: Held while a kernel runs on several threads: where two meet, one of numba's threading layers aborts the
#: process, and with the others both would compete for the same cores.
_running = Lock()

#: Whether this process is the fork of one that had imported this module.
_forked = False


def _settle_in_child() -> None:
    global _forked
    _forked = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_settle_in_child)


class _Determinism:
    """Whether PyTorch computes on one thread for now, and the number of threads that it had before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self.before: int | None = None

    def begin(self) -> None:
        with self._lock:
            if not self._blocks:
                self.before = torch.get_num_threads()
            self._blocks += 1
            torch.set_num_threads(1)  # of this Python thread, and of those that start from now on

    def end(self) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                before, self.before = self.before, None
                torch.set_num_threads(before or 1)


_determinism = _Determinism()


@contextmanager
def deterministic() -> Iterator[None]:
    """Compute the same bits on a CPU, whatever the number of threads.

    >>> with ig.deterministic():
    ...     rec = solver(problem)

    PyTorch's sums, and with them norms, step sizes and stopping, round differently with the number of parts
    that threads make of them, and so do its matrix factorizations. Within the block PyTorch computes on one
    thread. What the package compiles itself, such as the projectors of fan and cone beams, the non-uniform
    FFT and the dual steps of total variation, gives the same bits on any number, and stays on the number of
    threads that PyTorch had before. To use more processors for slices or samples, run several processes.

    The number of threads is PyTorch's own setting, of a Python thread and of those that it starts. Several
    Python threads may each be in a block; the last that leaves one sets the number of before.

    The bits are those of one kind of processor and one version of PyTorch: others have other instructions. On
    a GPU the block changes nothing.
    """
    _determinism.begin()
    try:
        yield
    finally:
        _determinism.end()


def thread_count() -> int:
    """The number of threads for what gives the same bits on any: PyTorch's, but one in a forked child.

    Within `deterministic` it is what PyTorch had before.
    """
    return 1 if _forked else _determinism.before or torch.get_num_threads()


def parallel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function with loops over ``numba.prange`` for several threads, and once more for one.

    The number of threads is `thread_count`. On several, kernels take turns; on one they need not. Where each
    iteration writes to memory of its own, as in all kernels of the package, any number gives the same bits.

    Parameters
    ----------
    function : function of arrays and numbers
        Writes its results to some of the arrays.
    """
    import numba

    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}
    on_several = numba.njit(function, parallel=True, **options)
    on_one = numba.njit(_namesake(function), **options)
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    _let_forks_wait_for_the_compiler()

    @wraps(function)
    def run(*arguments: Any) -> None:
        count = min(thread_count(), most)
        if count == 1:
            on_one(*arguments)
            return
        _start_numba()
        with _running:
            before = numba.get_num_threads()  # of this Python thread
            if before == count:
                on_several(*arguments)
                return
            numba.set_num_threads(count)
            try:
                on_several(*arguments)
            finally:
                numba.set_num_threads(before)

    return run


def serial(function: Callable[..., T]) -> Callable[..., T]:
    """Compile a function of arrays and numbers for one thread, which lets go of Python's lock."""
    import numba

    _let_forks_wait_for_the_compiler()
    return numba.njit(function, cache=True, error_model="numpy", nogil=True)


def pool_of_one(threads: int, begin: Callable[[], object] | None = None) -> ThreadPoolExecutor:
    """A Python thread in which kernels, PyTorch and FINUFFT compute on a number of threads of their own.

    Parameters
    ----------
    threads : int
        That number; of other threads it stays as it is.
    begin : callable(), optional
        Called first in the thread.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(1)
    pool.submit(torch.get_num_threads).result()  # a thread that has not been asked forgets what it is set to
    pool.submit(torch.set_num_threads, threads).result()
    torch.set_num_threads(before)  # which threads to come begin with
    if begin is not None:
        pool.submit(begin).result()
    return pool


def apart_from_openmp(function: Callable[[], T]) -> T:
    """Call a function that enters OpenMP on more threads than `thread_count`.

    In a forked child it runs in a Python thread of its own, for which OpenMP starts a new team.
    """
    if not _forked:
        return function()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def _namesake(function: Callable[..., None]) -> Callable[..., None]:
    """A copy by another name, under which numba keeps what it compiles from it on the disk."""
    copy = FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = f"{function.__name__}_on_one_thread"
    return copy


@cache
def _start_numba() -> None:
    """Start numba's threads, and leave PyTorch's number as it was: in OpenMP the two are one."""
    import numba

    before = torch.get_num_threads()
    numba.get_num_threads()
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@cache
def _let_forks_wait_for_the_compiler() -> None:
    """Keep numba's compiler out of forks: a child would inherit its lock, which nobody is left to release."""
    from numba.core.compiler_lock import global_compiler_lock as lock

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
