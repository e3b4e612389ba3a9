"""What a run has done so far, kept beside its output, so that it goes on after whatever has stopped it.

While ``image.h5`` is made, the folder ``.image.h5.progress`` stands beside it: ``run.json`` says what the
run is, shards hold finished slices (`invgen.pipeline.shards`), and ``.state`` files the iterate of slices
that take long (`invgen.solvers.checkpoint`). Each file is written beside, flushed and renamed. When the
output is there, the folder goes.

A shard is written when the results that wait are ten seconds old, or 64 MB, in a thread: flushing them to
the disk then costs nothing that is noticed. A run of less than ten seconds leaves no folder, also where it
is stopped: it takes no longer to compute again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Self
from uuid import uuid4

from torch import get_num_threads

from invgen.core.claims import Claim
from invgen.core.errors import FileError, ParameterError
from invgen.core.json_files import read_json, write_json
from invgen.io.formats.volume import now
from invgen.pipeline.jobs import Job
from invgen.pipeline.place import RUN, YOUNG, Place, folder_of
from invgen.pipeline.run_identity import choices_of, differences, with_choices
from invgen.pipeline.shards import Kept, bytes_of, read_solved
from invgen.pipeline.slices import Solved
from invgen.pipeline.work import Notice, Work

__all__ = ["Progress"]

#: Age in seconds, and size in bytes, of results that wait, at which they are written.
_SECONDS, _BYTES = YOUNG, 64 * 2**20

#: What a record has beside what the run is of.
_KINDS = {"run": str, "created": str, "choices": dict, "remarks": list, "threads": int}


class Progress:
    """The progress of one run.

    Parameters
    ----------
    output : Path
    identity : dict
        What the run is of; see `invgen.pipeline.run_identity.identity`.
    resume : bool
        Go on from what is kept of a run that was stopped.
    seconds : float
        Between two times that the state of a slice is saved.
    notice : callable(str)

    Attributes
    ----------
    choices : Recipe or None
        Of the run that goes on: what it had chosen.
    created : str
        When the run began; of one that goes on, when that began.

    Raises
    ------
    ParameterError
        Where what is kept is of other settings, files or versions.
    FileError
        Where another process is at work on the output.
    """

    def __init__(
        self, output: Path, identity: dict[str, Any], resume: bool, seconds: float, notice: Notice
    ) -> None:
        self._output, self._notice, self._seconds = output, notice, seconds
        self._folder = folder_of(output)
        self._record = {"run": uuid4().hex[:12], "created": now(), **identity}
        self._claim = Claim(self._folder) if self._folder.is_dir() else None
        self._own, self._lock = False, Lock()
        self._kept: dict[str, Kept] = {}
        self._pending: dict[str, Solved] = {}
        self._bytes, self._slices, self._count = 0, 0, 0
        self._began = self._flushed = time.monotonic()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._prior: Callable[[], str | None] = lambda: None
        self._keeps = True
        try:
            self._begin(resume)
            self.choices = with_choices(self._record["choices"]) if self._own else None
        except BaseException:
            if self._claim is not None:
                self._claim.release()
            raise

    def _begin(self, resume: bool) -> None:
        before = None if self._claim is None else self._read()
        if before is None:
            if resume:
                self._notice(f"Nothing is kept of a run that made {self._output}: this one begins anew.")
            return
        if not resume:
            self._notice(
                f"A run of {before['created']} that made {self._output} was stopped. --resume would go on "
                "from there; this one begins anew."
            )
            return
        if why := differences(before, self._record):
            raise ParameterError(
                f"{self._output} cannot be resumed: {why}. Go on as it was begun, or leave out --resume to "
                "begin anew."
            )
        self._record, self._own = before, True
        self._kept = self.place.kept()

    def _read(self) -> dict[str, Any] | None:
        """The record in the folder, where there is one that is whole."""
        with suppress(FileError):
            found = read_json(self._folder / RUN, "the progress of a run")
            if isinstance(found, dict) and all(
                isinstance(found.get(name), kind) for name, kind in _KINDS.items()
            ):
                return found
        return None

    @property
    def created(self) -> str:
        """When the run began."""
        return str(self._record["created"])

    @property
    def place(self) -> Place:
        """The folder of this run."""
        return Place(self._folder, self._record["run"], self._seconds)

    def settle(self, work: Work, room: bool) -> None:
        """Take what is chosen on the data; of a run that goes on, find that it is the same.

        Without `room` on the disk nothing is kept.

        Raises
        ------
        ParameterError
        """
        self._keeps = room or self._own
        if not self._keeps:
            self._notice(
                f"The disk has no room for what is kept beside {self._output} on the way: a run that is "
                "stopped begins anew."
            )
        self._prior = work.fingerprint_of_prior
        found = choices_of(work.recipe)
        if not self._own:
            self._record |= {"choices": found, "remarks": list(work.remarks), "threads": get_num_threads()}
        else:
            work.remarks = tuple(self._record["remarks"])
            if self._record["threads"] != get_num_threads():
                self._notice(
                    f"It was begun on {self._record['threads']} threads, and goes on on {get_num_threads()}: "
                    "values may differ by rounding."
                )
            if why := differences(self._record, {"choices": found, "prior": self._prior()}):
                raise ParameterError(f"{self._output} cannot be resumed: {why}.")
        work.checkpoints = self.place.checkpoints(self._is_worth_it)

    def share(self) -> Place | None:
        """Make the folder now, for other processes to write to; None where nothing is kept."""
        if not self._keeps:
            return None
        self._take()
        return self.place

    def _is_worth_it(self) -> bool:
        """Whether there is a folder, or has been enough work for one, which is made then."""
        if not self._keeps or time.monotonic() - self._began < min(_SECONDS, self._seconds):
            return self._own
        self._take()
        return True

    def _take(self) -> None:
        """Make the folder this run's own: what one of before has left there goes."""
        with self._lock:
            if self._own:
                return
            if self._claim is None:
                self._claim = Claim(self._folder)
            self._claim.clear()
            write_json(self._folder / RUN, {**self._record, "prior": self._prior()})
            self._own = True

    def results(
        self,
        jobs: Sequence[Job],
        compute: Callable[[Sequence[Job], int], Generator[Solved | Kept, None, None]],
    ) -> Generator[Solved, None, None]:
        """Yield what comes of jobs in their order: read where it is kept, else computed and then kept.

        Parameters
        ----------
        jobs : sequence of Job
        compute : callable(jobs, done)
            What computes jobs, of so many slices that are done before; in place of results that it has kept
            itself it says where they are.
        """
        self._count = sum(len(job.slices) for job in jobs)
        rest = [job for job in jobs if job.name not in self._kept]
        self._slices = self._count - sum(len(job.slices) for job in rest)
        if self._own and self._slices:
            self._notice(f"{self._slices} of {self._count} slices are kept; the others are computed.")
        with closing(compute(rest, self._slices)) as computed:
            for job in jobs:
                found = self._kept[job.name] if job.name in self._kept else next(computed)
                if isinstance(found, Kept):
                    self._slices += 0 if job.name in self._kept else len(job.slices)
                    yield read_solved(found)
                else:
                    self._keep(job, found)
                    yield found

    def _keep(self, job: Job, solved: Solved) -> None:
        if not self._keeps:
            return
        self._slices += len(job.slices)
        self._pending[job.name] = solved
        self._bytes += bytes_of(solved)
        if time.monotonic() - self._flushed > _SECONDS or self._bytes > _BYTES:
            self._flush()

    def _flush(self) -> None:
        """Have what waits written, once what was written before is."""
        self._wait()
        self._take()
        if self._pending:
            self._writing = self._writer.submit(self.place.write, self._pending)
        self._pending, self._bytes, self._flushed = {}, 0, time.monotonic()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
        self._writing = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None or not self._stays():
                self._writer.shutdown()
                if self._claim is not None and (error is None or self._own):
                    self._claim.remove()
                    self._claim = None
                return
            with suppress(FileError):  # the error is said; what does not fit on the disk is computed again
                self._flush()
                self._wait()
        finally:
            self._writer.shutdown()
            if self._claim is not None:
                self._claim.release()
        said = (
            f"{self._slices} of {self._count} slices of {self._output} are kept: the same command goes on "
            "with --resume."
        )
        if not self._count:
            return
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"Stopped. {said}") from None
        self._notice(said)

    def _stays(self) -> bool:
        """Whether what is done is worth keeping after an error."""
        if not self._keeps:
            return False
        if self._kept or (self._own and any(self._folder.glob("[!.]*.state*"))):
            return True
        written = self._writing is not None or (self._own and any(self._folder.glob("[!.]*.npz")))
        return time.monotonic() - self._began >= _SECONDS and (written or bool(self._pending))
