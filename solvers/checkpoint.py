"""Checkpoints: a run's state on disk, so that a long reconstruction survives an interruption."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from invgen.core.errors import FileError
from invgen.core.files import atomic_path
from invgen.problem import Problem

if TYPE_CHECKING:
    from invgen.solvers.base import Run

__all__ = ["Checkpoint"]

_SECONDS = 60.0

#: What a run knows besides its state.
_KEPT = ("iteration", "active", "needed", "result", "changes", "measures", "records")


class Checkpoint:
    """The file that one run writes to and goes on from.

    Parameters
    ----------
    path : Path
    solver : str
        What is run, with its hyper-parameters: a checkpoint of another run is refused.
    """

    def __init__(self, path: Path, solver: str) -> None:
        self._path, self._solver = path, solver
        self._saved = time.monotonic()

    def restore(self, run: Run) -> None:
        """Go on from the file, where it exists."""
        from invgen.solvers.base import State

        if not self._path.exists():
            return
        try:
            saved = torch.load(self._path, map_location=run.state.x.device, weights_only=True)
        except Exception as error:
            raise FileError(f"{self._path} is not a checkpoint that can be read: {error}.") from error
        if saved.get("solver") != self._solver or not torch.equal(saved["data"], _fingerprint(run.problem)):
            raise FileError(
                f"{self._path} belongs to another solver or problem; remove it, or name another file."
            )
        run.state = State(saved["x"], **saved["variables"])
        for name in _KEPT:
            setattr(run, name, saved[name])

    def save_if_due(self, run: Run) -> None:
        """Save when the last time was a minute ago."""
        if time.monotonic() - self._saved > _SECONDS:
            self.save(run)

    def save(self, run: Run) -> None:
        """Write the state beside, and rename."""
        content: dict[str, Any] = {
            "solver": self._solver,
            "data": _fingerprint(run.problem),
            "x": run.state.x,
            "variables": run.state.variables,
        }
        for name in _KEPT:
            content[name] = getattr(run, name)
        with atomic_path(self._path) as temporary:
            torch.save(content, temporary)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """The run has ended: nothing is left to go on from."""
        self._path.unlink(missing_ok=True)


def _fingerprint(problem: Problem) -> torch.Tensor:
    """A few numbers that hardly two measurements share."""
    return problem.operator.range.norm(problem.measurement).cpu()
