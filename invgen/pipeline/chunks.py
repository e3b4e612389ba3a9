"""Jobs in another process: what it checks before the first one of a run, and what it keeps between them."""

from __future__ import annotations

import os
import platform
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from traceback import format_exception
from uuid import uuid4

import torch

from invgen.core.disk import volumes_in
from invgen.core.errors import ClusterError, FileError, InvgenError
from invgen.core.memory import memory_limit
from invgen.core.stopping import Stopped
from invgen.pipeline.devices import chosen, devices_of, own_device, same_bits, within
from invgen.pipeline.jobs import Job
from invgen.pipeline.place import Place
from invgen.pipeline.shards import Kept, names_in
from invgen.pipeline.slices import Solved
from invgen.pipeline.work import Work

__all__ = ["Host", "Run", "dask_setup", "end", "greet", "solve"]

#: Frames of a traceback that are kept of an error that was not foreseen.
_FRAMES = 20


@dataclass(frozen=True)
class Run:
    """What the jobs of a reconstruction share, wherever they are computed.

    Attributes
    ----------
    name : str
        Of this one alone.
    version : str
        Of the package.
    files : mapping of Path to int or None
        Files that are read and their sizes, None of folders.
    memory : int or None
        Bytes that a process may ask for; None for a share of what is free there.
    """

    name: str
    version: str
    files: Mapping[Path, int | None]
    memory: int | None

    @classmethod
    def new(cls, files: Iterable[Path], memory: int | None) -> Run:
        """A run of this version of the package that reads these files."""
        return cls(uuid4().hex, _version(), {path: _size(path) for path in files}, memory)

    def check(self) -> None:
        """Refuse to compute in a process that has another version of the package, or other files.

        Raises
        ------
        ClusterError, FileError
        """
        if _version() != self.version:
            raise ClusterError(
                f"invgen is {_version()} on {platform.node()}, and {self.version} where the run was started: "
                "install the same version for all workers."
            )
        for path, size in self.files.items():
            try:
                found = _size(path)
            except OSError as error:
                raise FileError(
                    f"{path} cannot be read on {platform.node()}: {error.strerror}. Scan and prior belong on "
                    "a file system that all workers share, under the same path."
                ) from error
            if found != size:
                raise FileError(
                    f"{path} is another file on {platform.node()} than here, where the run was started: "
                    "scan and prior belong on a file system that all workers share."
                )


def _version() -> str:
    from invgen import __version__

    return __version__


def _size(path: Path) -> int | None:
    with path.open("rb") if path.is_file() else os.scandir(path):  # what cannot be read is found now
        return path.stat().st_size if path.is_file() else None


@dataclass(frozen=True)
class Host:
    """What a worker computes on.

    Attributes
    ----------
    machine : str
    device : {"cpu", "cuda"}
    torch : str
        Version of PyTorch, whatever it was built for.
    """

    machine: str
    device: str
    torch: str


def dask_setup(worker: object) -> None:
    """Begin as a worker that a command has started, on one thread: what dask calls of a module to preload."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
    torch.set_num_threads(1)


def greet(run: Run, device: str) -> Host:
    """What this process would compute a run on, where it can; see `Run.check`."""
    run.check()
    kind = devices_of(chosen(device))[0].type
    return Host(platform.node(), kind, torch.__version__.partition("+")[0])


def solve(job: Job, run: Run, place: Place | None) -> Solved | Kept:
    """Do a job with the scan that is open since the run's first one here.

    Where the folder of the run's progress is on a file system that this process sees, what comes of the job
    is written there, and where that is is returned.

    Raises
    ------
    Stopped
        Where the run has ended meanwhile.
    """

    def part(fraction: float) -> None:
        if run.name in _kept.ended:
            raise Stopped

    try:
        if place is not None and not place.is_seen():
            place = None
        if place is not None and names_in(place.shard(job.name)):  # by a worker that was lost afterwards
            return Kept(place.shard(job.name), job.name)
        with (
            same_bits(job.recipe),
            memory_limit(run.memory),
            volumes_in(None if place is None else place.folder.parent),
            _kept.work(job, run) as work,
            within(work.devices[0]),
        ):
            work.checkpoints = None if place is None else place.checkpoints()
            solved = work.solve(job.slices, part)
        if place is None:
            return solved
        place.write({job.name: solved})
        return Kept(place.shard(job.name), job.name)
    except Exception as error:
        # dask loses errors whose traceback cannot be pickled, and the run would wait for them: as text it can
        if not isinstance(error, InvgenError):
            error.add_note("".join(format_exception(error)[-_FRAMES:]))
        raise error.with_traceback(None) from None


def end(run: Run) -> None:
    """Close what is open of a run, and stop its jobs where they next report how far they are."""
    _kept.end(run.name)


class _Open:
    """A scan that is open for the jobs of a run, of one of its frames, on a device of its own.

    It follows the frame on which is found what all have in common.
    """

    def __init__(self, job: Job, run: Run, middle: Work | None) -> None:
        self.run, self.frame = run.name, job.frame
        with ExitStack() as stack:
            run.check()
            device = stack.enter_context(own_device(job.recipe.device))
            self.work, close = job.opened(device)
            stack.callback(close)
            if middle is not None:
                self.work.follow(middle)
            self.close = stack.pop_all().close


class _Kept:
    """What this process has open: of the last run, once for each of the threads that are at work."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: list[_Open] = []
        self._middle: tuple[str, Work, Callable[[], None]] | None = None
        self.ended: deque[str] = deque(maxlen=100)

    @contextmanager
    def work(self, job: Job, run: Run) -> Iterator[Work]:
        """What a job takes, for one thread at a time; after an error it is made anew."""
        with self._lock:
            mine = (run.name, job.frame)
            found = next((each for each in self._idle if (each.run, each.frame) == mine), None)
            if found is not None:
                self._idle.remove(found)
            self._close(lambda each: (each.run, each.frame) != mine)
            middle = None if found is not None else self._middle_of(job, run)
        open = found or _Open(job, run, middle)
        try:
            yield open.work
        except BaseException:
            open.close()
            raise
        with self._lock:
            self._idle.append(open)
            self._close(lambda each: each.run in self.ended)

    def end(self, run: str) -> None:
        """Close what is open of a run, and have the threads at work close theirs."""
        with self._lock:
            self.ended.append(run)
            self._close(lambda each: each.run == run)
            if self._middle is not None and self._middle[0] == run:
                self._middle[2]()
                self._middle = None

    def _middle_of(self, job: Job, run: Run) -> Work | None:
        """Work on the frame on which is found what all have in common, open for the whole run."""
        if self._middle is not None and self._middle[0] != run.name:
            self._middle[2]()
            self._middle = None
        if self._middle is None and job.middle is not None:
            self._middle = run.name, *job.middle.opened("cpu")
        return None if self._middle is None else self._middle[1]

    def _close(self, over: Callable[[_Open], bool]) -> None:
        for each in filter(over, tuple(self._idle)):
            self._idle.remove(each)
            each.close()


_kept = _Kept()
