"""Checkpoints: a run's state on disk, so that a long reconstruction survives an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from invgen.core.errors import FileError
from invgen.core.files import save_state
from invgen.core.text import brief

__all__ = ["Checkpoint", "Checkpoints", "samples_in"]

#: The largest part of the time that saving may take: what is saved can be larger than the image many times.
_SHARE = 0.05


@dataclass(frozen=True)
class Checkpoints:
    """Where a call of a solver keeps its state, and how often.

    Parameters
    ----------
    path : Path
        The file; where samples are drawn in several runs, each has one of its own, named after this.
    seconds : float
        Between two times that the state is saved: more, where saving would take a twentieth of the time.
    remove : bool
        Whether it is removed when the call has come to its end.
    required : bool
        Whether a file from which the run cannot go on is an error; else the run begins anew.
    wanted : callable() -> bool, optional
        Asked before the state is saved.
    """

    path: Path
    seconds: float = 60.0
    remove: bool = True
    required: bool = True
    wanted: Callable[[], bool] | None = None

    def of_run(self, number: int) -> Checkpoints:
        """Those of the run whose first sample has this number in the call."""
        return self if number == 0 else replace(self, path=Path(f"{self.path}-{number}"))


class Checkpoint:
    """The file that one run writes to and goes on from.

    Parameters
    ----------
    options : Checkpoints
    identity : callable() -> str
        Fingerprint of what is run, asked for when there is something to load or save: a checkpoint of another
        run is refused.
    """

    def __init__(self, options: Checkpoints, identity: Callable[[], str]) -> None:
        self._options, self._path, self._identity = options, options.path, identity
        self._saved, self._cost = time.monotonic(), 0.0

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """What was saved, where the file exists.

        Raises
        ------
        FileError
            For a file that is no checkpoint, or that of another run.
        """
        if not self._path.exists():
            return None
        try:
            return self._loaded(device)
        except FileError:
            if self._options.required:
                raise
            return None

    def _loaded(self, device: torch.device) -> dict[str, Any]:
        try:
            saved = torch.load(self._path, map_location=device, weights_only=True)
            identity = saved.pop("identity")
        except MemoryError:
            raise
        except Exception as error:
            raise FileError(f"{self._path} is not a checkpoint that can be read: {brief(error)}.") from error
        if identity != self._identity():
            raise FileError(
                f"{self._path} belongs to another solver, prior or problem; remove it, or name another file."
            )
        return saved

    @property
    def is_due(self) -> bool:
        """Whether the last time it was saved is long enough ago."""
        return time.monotonic() - self._saved > max(self._options.seconds, self._cost / _SHARE)

    def save(self, content: dict[str, Any]) -> None:
        """Write the content beside, and rename; nothing where it is not wanted."""
        if self._options.wanted is not None and not self._options.wanted():
            return
        began = time.monotonic()
        save_state({"identity": self._identity(), **content}, self._path)
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def remove(self) -> None:
        """The run has ended: nothing is left to go on from."""
        if self._options.remove:
            self._path.unlink(missing_ok=True)


def samples_in(path: Path) -> int | None:
    """Number of samples in a sampler's checkpoint; None where there is none that can be read."""
    try:
        return len(torch.load(path, map_location="meta", weights_only=True)["x"])
    except MemoryError:
        raise
    except Exception:  # what is wrong with it is found, and said, as it is loaded
        return None
