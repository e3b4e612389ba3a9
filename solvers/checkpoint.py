"""Checkpoints: a run's state on disk, so that a long reconstruction survives an interruption."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from invgen.core.errors import FileError
from invgen.core.files import save_state
from invgen.core.text import brief

__all__ = ["Checkpoint", "samples_in"]

_SECONDS = 60.0


class Checkpoint:
    """The file that one run writes to and goes on from.

    Parameters
    ----------
    path : Path
    identity : str
        Fingerprint of what is run: a checkpoint of another run is refused.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._saved = time.monotonic()

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
            saved = torch.load(self._path, map_location=device, weights_only=True)
            identity = saved.pop("identity")
        except MemoryError:
            raise
        except Exception as error:
            raise FileError(f"{self._path} is not a checkpoint that can be read: {brief(error)}.") from error
        if identity != self._identity:
            raise FileError(
                f"{self._path} belongs to another solver, prior or problem; remove it, or name another file."
            )
        return saved

    @property
    def is_due(self) -> bool:
        """Whether the last time it was saved is a minute ago."""
        return time.monotonic() - self._saved > _SECONDS

    def save(self, content: dict[str, Any]) -> None:
        """Write the content beside, and rename."""
        save_state({"identity": self._identity, **content}, self._path)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """The run has ended: nothing is left to go on from."""
        self._path.unlink(missing_ok=True)


def samples_in(path: Path) -> int | None:
    """Number of samples in a sampler's checkpoint; None where there is none that can be read."""
    try:
        return len(torch.load(path, map_location="meta", weights_only=True)["x"])
    except MemoryError:
        raise
    except Exception:  # what is wrong with it is found, and said, as it is loaded
        return None
