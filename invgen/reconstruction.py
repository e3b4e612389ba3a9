"""What a solver gives back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from invgen.files import atomic_hdf5

__all__ = ["Reconstruction"]


@dataclass(frozen=True)
class Reconstruction:
    """An estimate, how certain it is, and how it came about.

    Attributes
    ----------
    x : tensor, shape (*batch, *image)
        The estimate; the mean where there are samples.
    samples : tensor, shape (n, *batch, *image), or None
    std : tensor, shape (*batch, *image), or None
        Standard deviation of the samples.
    history : dict of tensors
        "iteration", and for each recorded iteration "objective" and "residual", shape (records, *batch);
        "change", the relative change of the image in each iteration, and "optimality", what the solver's
        tolerance was compared with, shape (iterations, *batch).
    stats : dict
        "solver", "iterations", "converged", "operator_calls", "seconds", "peak_memory" (bytes) and what
        else the solver tells, such as the weight that "auto" became.
    """

    x: torch.Tensor
    samples: torch.Tensor | None = None
    std: torch.Tensor | None = None
    history: dict[str, torch.Tensor] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an HDF5 file, beside and renamed, so that `path` is never half a file."""
        with atomic_hdf5(Path(path)) as file:
            for name in ("x", "samples", "std"):
                if (value := getattr(self, name)) is not None:
                    file[name] = value.cpu().numpy()
            for name, values in self.history.items():
                file[f"history/{name}"] = values.cpu().numpy()
            file.attrs["stats"] = json.dumps(self.stats, default=_plain)

    def __repr__(self) -> str:
        keys = ("solver", "iterations", "seconds")
        told = ", ".join(f"{key}={self.stats[key]}" for key in keys if key in self.stats)
        return f"Reconstruction(x={tuple(self.x.shape)}, {told})"


def _plain(value: Any) -> Any:
    """What JSON does not know: tensors become lists, anything else its name."""
    return value.tolist() if isinstance(value, torch.Tensor) else str(value)
