"""Many machines: the workers of a cluster, to which jobs are sent, and what is said when they are lost."""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from invgen.core.errors import ClusterError, InvgenError, InvgenWarning, ParameterError
from invgen.core.memory import memory_bound
from invgen.core.text import brief
from invgen.pipeline.connection import ANSWER, answering, require_client, result_of

if TYPE_CHECKING:
    from distributed import Client

    from invgen.io import MeasuredImages, MRIScan, Scan
    from invgen.pipeline.chunks import Host, Run
    from invgen.pipeline.jobs import Advance, Job
    from invgen.pipeline.place import Place
    from invgen.pipeline.reading import Reading
    from invgen.pipeline.recipe import Recipe
    from invgen.pipeline.shards import Kept
    from invgen.pipeline.slices import Solved
    from invgen.pipeline.work import Notice

__all__ = ["Cluster", "cluster_of"]

#: Jobs at the cluster for each thread of a worker: one is computed, and one is ready to be.
_AHEAD = 2
#: Seconds between looks at results, and at scheduler and workers.
_LOOK, _HEALTH = 0.05, 1.0
#: Seconds that a run may be without any worker.
_PATIENCE = 300.0


def cluster_of(
    executor: Any,
    path: Path,
    scan: Scan | MRIScan | MeasuredImages,
    reading: Reading,
    recipe: Recipe,
    notice: Notice,
) -> Cluster:
    """The workers of a client, for the jobs of a scan; see `Cluster`."""
    from invgen.pipeline.chunks import Run
    from invgen.pipeline.run_identity import files_of

    files = files_of(path, scan, reading, recipe)
    return Cluster(require_client(executor), recipe.device, Run.new(files, memory_bound()), notice)


class Cluster:
    """Workers that compute the jobs of one run.

    Parameters
    ----------
    client : distributed.Client
    device : {"auto", "cpu"}
        Of each worker.
    run : Run
    notice : callable(str)

    Attributes
    ----------
    device : str
        What all workers compute on, "cpu" or "cuda"; "auto" where they differ.

    Raises
    ------
    ParameterError, ClusterError, FileError
        For other devices; where there are no workers, they have another version of the package, or do not
        see the files.
    """

    def __init__(self, client: Client, device: str, run: Run, notice: Notice) -> None:
        if device not in ("auto", "cpu"):
            raise ParameterError(
                f"--device {device} is of this machine, and each worker of a cluster computes on its own: "
                "auto, its GPU where it has one, or cpu."
            )
        self._client, self._asked, self._run = client, device, run
        self._executor = client.get_executor(pure=False)
        self._threads, self._looked, self._alive = 0, 0.0, time.monotonic()
        hosts: list[Host] = []
        while not hosts:
            self._await_a_worker(notice)
            hosts = self._greeted()
        _warn_of_versions(hosts)
        kinds, machines = Counter(host.device for host in hosts), Counter(host.machine for host in hosts)
        self.device = next(iter(kinds)) if len(kinds) == 1 else "auto"
        if run.memory is not None:  # that of a machine
            self._run = replace(run, memory=run.memory // max(machines.values()))
        where = " and ".join(
            f"{_counted(number, 'worker')} on {'GPUs' if kind == 'cuda' else 'CPUs'}"
            for kind, number in sorted(kinds.items())
        )
        notice(f"Slices are computed by {where}, of {_counted(len(machines), 'machine')}.")

    def solved(
        self, jobs: Sequence[Job], advance: Advance, place: Place | None
    ) -> Generator[Solved | Kept, None, None]:
        """Compute jobs, and yield what comes of them in their order.

        Workers that see the folder at `place` write it there, and what is yielded is where it is. So many
        are sent as workers have threads, twice, counted from the one that is taken next: memory does not grow
        with their number. Those of workers that are lost are sent again by dask.
        """
        from invgen.pipeline.chunks import solve

        waiting: deque[tuple[Job, Future[Solved | Kept]]] = deque()
        done, rest = 0, iter(jobs)

        def send(job: Job) -> Future[Solved | Kept]:
            sent = replace(job, recipe=replace(job.recipe, device=self._asked))
            with answering():
                return self._executor.submit(solve, sent, self._run, place)

        def report() -> None:
            advance(done + sum(len(job.slices) for job, future in waiting if future.done()))

        try:
            while True:
                self._look()
                while len(waiting) < _AHEAD * max(self._threads, 1) and (job := next(rest, None)) is not None:
                    waiting.append((job, send(job)))
                if not waiting:
                    return
                job, future = waiting[0]
                while not future.done():
                    wait([future], timeout=_LOOK)
                    self._look()
                    report()
                if _is_lost(future):
                    waiting[0] = job, send(job)
                    continue
                solved = _taken(future, job)
                report()
                waiting.popleft()
                done += len(job.slices)
                yield solved
        finally:
            for _, future in waiting:
                future.cancel()
            self._end()

    def _await_a_worker(self, notice: Notice) -> None:
        self._look()
        if not self._threads:
            notice("The scheduler of dask has no workers yet.")
        while not self._threads:
            time.sleep(_LOOK)
            self._look()

    def _greeted(self) -> list[Host]:
        """What each worker computes on."""
        from invgen.pipeline.chunks import greet

        with answering():
            found = self._client.run(
                greet, self._run, self._asked, on_error="return", callback_timeout=_PATIENCE
            )  # which may have to import PyTorch, from a file system that is slow
        for worker, host in tuple(found.items()):
            if isinstance(host, InvgenError):
                raise host
            if isinstance(host, OSError):  # the worker has gone meanwhile
                del found[worker]
            elif isinstance(host, Exception):
                raise ClusterError(
                    f"The worker at {worker} cannot run invgen as it is here ({brief(host)}): install the "
                    "same version there."
                ) from host
        return list(found.values())

    def _look(self) -> None:
        """Count the threads of workers, from time to time.

        Raises
        ------
        ClusterError
            Where the scheduler does not answer, or all workers are gone and none comes back.
        """
        now = time.monotonic()
        if self._looked and now - self._looked < _HEALTH:
            return
        with answering():
            if not self._connected:
                raise CancelledError("the connection was lost")
            self._threads = sum(self._client.nthreads(callback_timeout=ANSWER).values())
        self._looked = time.monotonic()
        if self._threads:
            self._alive = now
        elif now - self._alive > _PATIENCE:
            raise ClusterError(
                f"The scheduler of dask has had no worker for {_PATIENCE:.0f} s: start some, and then the "
                "run again."
            )

    @property
    def _connected(self) -> bool:
        return self._client.status == "running"

    def _end(self) -> None:
        """End the run on the workers that can still be reached."""
        from invgen.pipeline.chunks import end

        with suppress(Exception):
            if self._connected:
                self._client.run(end, self._run, on_error="ignore", callback_timeout=ANSWER)


def _is_lost(future: Future[Solved | Kept]) -> bool:
    """Whether dask has lost a result that had arrived, since its worker was lost before dask looked again.

    It then takes the result for an error, and meets a TypeError of its own.
    """
    error = None if future.cancelled() else future.exception()
    if not isinstance(error, TypeError):
        return False
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_globals["__name__"] == "distributed.cfexecutor"


def _taken(future: Future[Solved | Kept], job: Job) -> Solved | Kept:
    """What came of a job; errors of the job as themselves, and of the cluster in words."""
    from distributed import KilledWorker

    first, last = job.slices[0], job.slices[-1]
    which = f"Slice {first}" if first == last else f"Slices {first} to {last}"
    try:
        return result_of(future)
    except KilledWorker as error:
        raise ClusterError(
            f"{which}: each of {error.allowed_failures + 1} workers ended while it had this to do. It may be "
            "too large for their memory; their logs say more."
        ) from error


def _warn_of_versions(hosts: Sequence[Host]) -> None:
    import torch

    here = torch.__version__.partition("+")[0]
    if other := sorted({host.torch for host in hosts} - {here}):
        warnings.warn(
            f"PyTorch is {here} here, and {', '.join(other)} on workers: results may differ by rounding.",
            InvgenWarning,
            stacklevel=2,
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
