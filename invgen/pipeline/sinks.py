"""Where reconstructed slices go: a file, or memory."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import torch

from invgen.core.errors import FileError
from invgen.io import PICTURES, PictureWriter, ReconstructionWriter, bytes_per_pixel
from invgen.pipeline.imaging import Restoration
from invgen.pipeline.outputs import require_room
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import settings_of
from invgen.pipeline.work import Work

__all__ = ["Memory", "Sink", "check_name", "file_for", "require_room_for"]

_HDF5 = (".h5", ".hdf5")


class Sink(Protocol):
    """What takes slices one by one."""

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Take a slice (H, W), the report of its preprocessing, and its samples (n, H, W)."""


class Memory:
    """Slices in memory.

    Parameters
    ----------
    work : Work
        One that is settled.
    count : int
        Number of slices.

    Attributes
    ----------
    images : tensor, shape (count, H, W), in color (count, 3, H, W)
    samples : tensor, shape (n, count, H, W) or (n, count, 3, H, W), or None
    """

    def __init__(self, work: Work, count: int) -> None:
        dtype, n = torch.complex64 if work.complex else torch.float32, work.recipe.samples
        self.images = torch.empty(count, *work.image_shape, dtype=dtype)
        self.samples = None if n is None else torch.empty(n, count, *work.image_shape, dtype=dtype)

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Keep a slice."""
        self.images[index] = image
        if self.samples is not None and samples is not None:
            self.samples[:, index] = samples


def check_name(output: Path, work: Work, count: int) -> None:
    """Refuse a name whose suffix is of no file that this work is written to.

    Raises
    ------
    FileError
    """
    if not isinstance(work, Restoration):
        return
    suffix = output.suffix.lower()
    if suffix not in (*_HDF5, *PICTURES):
        raise FileError(
            f"{output} ends with none of {', '.join((*_HDF5, *PICTURES))}, which images are written to."
        )
    if suffix in PICTURES:
        PictureWriter(output, count)


def require_room_for(output: Path, work: Work, count: int) -> None:
    """Fail before the work where the disk has no room for the slices; see `require_room`."""
    pixels = count * math.prod(work.image_shape)
    require_room(output, bytes_per_pixel(work.complex, work.recipe.samples) * pixels)


def file_for(
    output: Path, path: Path, reading: Reading, work: Work, slices: range
) -> AbstractContextManager[Sink]:
    """The file of slices of a scan, with all that a repetition needs; of images, also a picture of these."""
    if isinstance(work, Restoration) and output.suffix.lower() not in _HDF5:
        return PictureWriter(output, len(slices))
    return ReconstructionWriter(
        output,
        slices=len(slices),
        image_shape=work.image_shape,
        pixel_size=work.pixel_size,
        unit=work.unit,
        source=path.resolve(),
        settings=settings_of(path, output, reading, work.recipe, slices),
        complex=work.complex,
        samples=work.recipe.samples,
        **work.about,
    )
