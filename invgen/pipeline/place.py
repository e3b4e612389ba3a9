"""Where the progress of a run is kept: a folder beside its output, for every process that computes for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from invgen.core.errors import FileError
from invgen.core.files import sweep
from invgen.core.json_files import read_json
from invgen.pipeline.shards import Kept, names_in, write_shard
from invgen.pipeline.slices import Solved
from invgen.solvers.checkpoint import Checkpoints

__all__ = ["RUN", "YOUNG", "Place", "folder_of"]

#: The file that says what the run is.
RUN = "run.json"
#: Seconds of work that are not kept by themselves: they take no longer to do again.
YOUNG = 10.0

_LONGEST_NAME = 200  # bytes; the folders of longer ones have a digest, as names have at most 255


def folder_of(output: Path) -> Path:
    """Where the progress of an output is kept."""
    name = output.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = sha256(os.fsencode(name)).hexdigest()
    return output.parent.resolve() / f".{name}.progress"


@dataclass(frozen=True)
class Place:
    """The folder of a run, for every process that computes for it.

    Parameters
    ----------
    folder : Path
    run : str
        Of this run alone, so that what one of before still writes is not taken for its own.
    seconds : float
        Between two times that the state of a slice is saved.
    """

    folder: Path
    run: str
    seconds: float

    def is_seen(self) -> bool:
        """Whether the folder is there for this process, and that of this run."""
        with suppress(FileError):
            record = read_json(self.folder / RUN, "the progress of a run")
            return isinstance(record, dict) and record.get("run") == self.run
        return False

    def checkpoints(self, wanted: Callable[[], bool] | None = None) -> Checkpoints:
        """How the states of slices are kept, in this folder; by default not in their first ten seconds."""
        began = time.monotonic()

        def is_old() -> bool:
            return time.monotonic() - began >= min(YOUNG, self.seconds)

        return Checkpoints(self.folder, self.seconds, remove=False, required=False, wanted=wanted or is_old)

    def shard(self, name: str) -> Path:
        """The shard that begins with the slices of this name."""
        return self.folder / f"{self.run}-{name}.npz"

    def write(self, results: dict[str, Solved]) -> None:
        """Write a shard; the states of its slices are of no use then.

        Where the run has ended meanwhile, and has removed its folder or was about to, nothing is left of it.
        """
        shard = self.shard(next(iter(results)))
        write_shard(shard, results)
        if not self.is_seen():
            shard.unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()
        for name in results:
            for state in self.folder.glob(f"{name}-*.state*"):
                state.unlink(missing_ok=True)

    def kept(self) -> dict[str, Kept]:
        """All results in whole shards of this run; others are removed."""
        found: dict[str, Kept] = {}
        sweep(self.folder)
        for path in sorted(self.folder.glob("[!.]*.npz")):
            names = names_in(path) if path.name.startswith(f"{self.run}-") else []
            found |= {name: Kept(path, name) for name in names}
            if not names:
                path.unlink(missing_ok=True)
        return found
