"""Devices: which are asked for, and slices or samples that are reconstructed on several of them at once.

Each device has a thread that computes, and one that reads what is next and copies it there meanwhile; a CPU
has several such pairs where slices are computed beside one another. They
are threads and no processes: PyTorch lets go of Python's lock while it starts kernels and waits for them, all
start at once, and a script that calls `invgen.reconstruct` needs no guard against being imported again.
What comes of a slice, or a sample, follows from its data and seed, wherever it is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from contextvars import copy_context
from errno import EADDRINUSE
from itertools import count
from socket import AF_UNIX, SOCK_DGRAM, socket
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from invgen.core.errors import ParameterError
from invgen.core.stopping import Stopped
from invgen.core.threads import deterministic, pool_of_one

if TYPE_CHECKING:
    from invgen.pipeline.recipe import Recipe

__all__ = [
    "Worker",
    "beside",
    "chosen",
    "devices_of",
    "in_order",
    "own_device",
    "reached",
    "same_bits",
    "within",
]

T = TypeVar("T")

#: Seconds between looks at how far the work is.
_LOOK = 0.1


def devices_of(name: str) -> tuple[torch.device, ...]:
    """The devices of a name other than "auto"."""
    kind, _, numbers = name.partition(":")
    return (
        tuple(torch.device(kind, int(number)) for number in numbers.split(","))
        if numbers
        else (torch.device(kind),)
    )


def chosen(name: str) -> str:
    """The name of devices in place of "auto".

    Raises
    ------
    ParameterError
        For devices that are not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if name == "cpu":
        return name
    if not count:
        raise ParameterError(f"--device {name}: PyTorch finds no CUDA device here; leave it out, or say cpu.")
    if any((device.index or 0) >= count for device in devices_of(name)):
        there = ", ".join(f"cuda:{number}" for number in range(count))
        raise ParameterError(f"--device {name}: the CUDA devices here are {there}.")
    return name


@contextmanager
def own_device(name: str) -> Iterator[str]:
    """The device of one process among others; of "auto" on several GPUs, the one that the fewest have now.

    Where `CUDA_VISIBLE_DEVICES` leaves one, it is that. It is the process's own until the block ends.
    """
    seen = torch.cuda.device_count() if name == "auto" and torch.cuda.is_available() else 0
    if seen < 2:
        yield chosen(name)
        return
    with closing(socket(AF_UNIX, SOCK_DGRAM)) as mark:
        yield f"cuda:{_marked(mark, [str(torch.cuda.get_device_properties(n).uuid) for n in range(seen)])}"


def _marked(mark: socket, devices: Sequence[str]) -> int:
    """Number of the device that is marked: the first one with the fewest marks of other processes.

    A mark is an abstract name of Linux: one process of a machine can have it, and it goes with its process.
    """
    for marks in count():
        for number, device in enumerate(devices):
            try:
                mark.bind(f"\0invgen-{device}-{marks}")
            except OSError as error:
                if error.errno != EADDRINUSE:
                    raise
            else:
                return number
    raise AssertionError


class Worker:
    """A device with its two threads.

    Parameters
    ----------
    device : torch.device
    read : callable(job)
        What is read of a job, on the device; called in the thread that reads.
    compute : callable(what was read, part)
        Called in the other thread; ``part(fraction)`` is called on the way, and may raise `Stopped`.
    threads : int, optional
        On which each of the two computes on a CPU; by default PyTorch's number.
    """

    def __init__(
        self,
        device: torch.device,
        read: Callable[[Any], Any],
        compute: Callable[[Any, Callable[[float], None]], Any],
        threads: int | None = None,
    ) -> None:
        self.device, self._read, self._compute = device, read, compute
        count = torch.get_num_threads() if threads is None else threads
        self._reader, self._computer = (pool_of_one(count, self._enter) for _ in range(2))

    def _enter(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # of this thread

    def begin(self, job: Any, part: Callable[[float], None]) -> Future[Any]:
        """Read and compute a job, after those before."""
        found = self._reader.submit(copy_context().run, self._read, job)
        return self._computer.submit(copy_context().run, lambda: self._compute(found.result(), part))

    def end(self) -> None:
        """Wait for what is running; nothing else is begun."""
        for each in (self._reader, self._computer):
            each.shutdown(wait=True, cancel_futures=True)


def in_order(
    jobs: Iterable[T], workers: Sequence[Worker], advance: Callable[[float], None], count: Callable[[T], int]
) -> Generator[tuple[Worker, Any], None, None]:
    """Compute jobs, each worker the next one that is its turn, and yield what comes of them in their order.

    Each worker has one job that it computes and one that it reads, so that memory does not grow with their
    number. When the iteration is given up, by an error or a keyboard interrupt, the workers stop where they
    next report how far they are.

    Parameters
    ----------
    jobs : iterable
    workers : sequence of Worker
    advance : callable(float)
        Called in the thread of the caller with the sum of `count` of all that is done.
    count : callable(job)
    """
    stop, fractions = Event(), {}
    waiting: deque[tuple[int, Worker, Future[Any]]] = deque()

    def begin(place: int, job: T) -> None:
        weight, worker = count(job), workers[place % len(workers)]

        def part(fraction: float) -> None:
            if stop.is_set():
                raise Stopped
            fractions[place] = fraction * weight

        fractions[place] = 0.0
        waiting.append((weight, worker, worker.begin(job, part)))

    def taken(place: int) -> tuple[Worker, Any]:
        weight, worker, future = waiting.popleft()
        while not future.done():
            wait([future], timeout=_LOOK)
            advance(sum(tuple(fractions.values())))
        found = future.result()
        fractions[place] = float(weight)
        advance(sum(tuple(fractions.values())))
        return worker, found

    try:
        done = 0
        for place, job in enumerate(jobs):
            if len(waiting) == 2 * len(workers):
                yield taken(done)
                done += 1
            begin(place, job)
        while waiting:
            yield taken(done)
            done += 1
    finally:
        stop.set()
        for each in workers:
            each.end()


def reached(device: torch.device) -> torch.cuda.Event | None:
    """What a thread has asked of a CUDA device so far, for another one to wait for; None of others."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record()
    return event


@contextmanager
def beside(device: torch.device, event: torch.cuda.Event | None) -> Iterator[None]:
    """Copy from a device what was there at an event, while it computes what is next."""
    if event is None:
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_event(event)
    with torch.cuda.stream(stream):
        yield


def same_bits(recipe: Recipe) -> AbstractContextManager[Any]:
    """Compute the same bits on any number of threads, where the recipe asks for it."""
    return deterministic() if recipe.deterministic else nullcontext()


def within(device: torch.device) -> AbstractContextManager[Any]:
    """Kernels of this thread, PyTorch's and others', are started on the device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
