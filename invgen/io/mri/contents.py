"""What a reader of MRI files finds, before it becomes an `MRIScan`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, FileError
from invgen.core.text import brief
from invgen.io.placement import Orientation
from invgen.operators import sampling

__all__ = ["Contents", "KSpace", "central", "check_size", "pixels", "read_block", "samples_of"]

#: Samples of one slice or volume, all coils: 8 GB, more than any scanner measures at once.
_MAX_SAMPLES = 2**30


@dataclass(frozen=True)
class KSpace:
    """k-space of one slice or volume, as it was measured.

    The origin of Cartesian k-space is the entry ``N // 2`` of each axis, and what is not sampled is zero.

    Attributes
    ----------
    data : complex64 tensor, shape (coils, *image_shape), or (coils, *samples) with a trajectory
    image_shape : tuple of int
        Grid of the operator: (H, W) or (D, H, W). `MRIScan.crop` returns the wanted part of images on it.
    mask : bool tensor that broadcasts to the grid, or None with a trajectory
        What is sampled.
    trajectory : float64 tensor, shape (*samples, 2 or 3), or None
        In cycles per pixel of the grid, the last axis in the order of the image's axes, (ky, kx).
    calibration : complex64 tensor, shape (coils, *image_shape), or None
        Lines that were measured for coil maps, if any; zero elsewhere.
    covariance : complex128 tensor, shape (coils, coils), or None
        Of the noise of one sample, ``E[n n.H] / 2`` as in `invgen.noise.Gaussian`, where it was measured.
    averages : float tensor that broadcasts to the grid, or None
        Number of samples of which each entry of `data` is the mean; None where that is one.
    report : tuple of str
        What was done to the numbers of the file.
    """

    data: torch.Tensor
    image_shape: tuple[int, ...]
    mask: torch.Tensor | None = None
    trajectory: torch.Tensor | None = None
    calibration: torch.Tensor | None = None
    covariance: torch.Tensor | None = None
    averages: torch.Tensor | None = None
    report: tuple[str, ...] = ()

    @property
    def coils(self) -> int:
        """Number of coils."""
        return len(self.data)

    @property
    def acceleration(self) -> float:
        """Pixels for each sample of a coil: on a grid, all positions over those that are sampled."""
        if self.mask is not None:
            return sampling.acceleration(self.mask.expand(self.image_shape))
        return math.prod(self.image_shape) / math.prod(self.data.shape[1:])

    def reported(self, *lines: str, **changes: Any) -> KSpace:
        """Return the same k-space with changes, and lines added to its report."""
        return replace(self, report=self.report + lines, **changes)


@dataclass(frozen=True)
class Contents:
    """Metadata of a file, and how to read its slices; sizes are in the order of the image's axes."""

    format: str
    dataset: str
    slices: int
    coils: int
    trajectory: str  # "cartesian", "radial", "spiral", ..., as the file says it
    encoded_shape: tuple[int, ...]  # matrix that was measured, oversampling included
    image_shape: tuple[int, ...]  # of the image that is wanted
    dtype: np.dtype
    read: Callable[[int, int], KSpace]
    reference: Callable[[int], torch.Tensor | None] = lambda _: None
    frames: tuple[str, ...] = ("repetition 0",)  # one for each measurement of a slice
    pixel_size: tuple[float, ...] | None = None  # in mm
    thickness: float | None = None  # of slices, in mm
    orientation: Orientation | None = None  # of slices or slabs
    oversampling: float = 1.0  # of the readout, in the file
    has_noise_scan: bool = False
    has_calibration: bool = False
    notes: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()  # between what the file states, or is assumed, and its samples
    options: tuple[str, ...] = ()  # those of `open_scan` that apply, beside the array and its axes

    @property
    def kind(self) -> str:
        """What messages call it."""
        return f"an MRI scan of the format {self.format}"


def check_size(coils: int, samples: int, what: str) -> None:
    """Refuse more than any scanner measures, before memory is allocated.

    Raises
    ------
    DataError
    """
    if coils * samples > _MAX_SAMPLES:
        raise DataError(
            f"{what} claims {samples:.4g} samples of {coils} coils in one slice or volume, more than any "
            "scan has: the file is corrupt, or the order of the axes is not the one given."
        )


def read_block(dataset: Any, index: Any, what: str) -> np.ndarray:
    """Read a part of an array of a file.

    Raises
    ------
    FileError
        When the file is damaged.
    """
    try:
        return np.asarray(dataset[index])
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise FileError(f"{what} cannot be read, the file is damaged: {brief(error)}") from error


def samples_of(block: np.ndarray, what: str, names: Sequence[str] = ()) -> torch.Tensor:
    """Samples as complex64.

    Parameters
    ----------
    block : array
    what : str
        What is read, for the message.
    names : sequence of str
        What the axes count: coils and those of k-space or of a trajectory.

    Raises
    ------
    DataError
        When some are not finite in that type.
    """
    with np.errstate(over="ignore"):
        data = torch.from_numpy(np.array(block, dtype=np.complex64, order="C"))
    if found := nonfinite(data, names):
        raise DataError(f"{what} holds {found}: the export went wrong, or the file is damaged.")
    return data


def central(n: int, m: int) -> slice:
    """Select the central m of n entries: entry ``n // 2`` becomes ``m // 2``."""
    start = n // 2 - m // 2
    return slice(start, start + m)


def pixels(field_of_view: float, pixel: float, most: int) -> int:
    """Number of pixels in a field of view, at most `most`."""
    count = field_of_view / pixel if pixel > 0 and math.isfinite(field_of_view) else most
    return max(1, min(most, round(min(count, most))))
