"""The MRI scan as it is in the file: what it holds, and its k-space on demand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from invgen.core.errors import ShapeError
from invgen.core.memory import require_memory
from invgen.io.mri.contents import Contents, KSpace, central
from invgen.io.placement import Orientation, Placement
from invgen.io.scanfile import ScanFile
from invgen.io.source import Source

__all__ = ["RawMRIScan"]


class RawMRIScan(ScanFile):
    """An MRI scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

    Opening reads metadata only; slices are read one at a time. Shapes are in the order of the image's axes:
    (H, W), or (D, H, W) for volumes, of which there is one for each slab, counted by `slices`.

    Attributes
    ----------
    path : Path
    format : {"fastmri", "ismrmrd", "kspace"}
        The last is a plain array.
    slices, repetitions, coils : int
        Repetitions are all that is measured of a slice: contrasts, phases and sets count, too. See `frames`.
    frames : tuple of str
        What each repetition is, in the words of the file.
    trajectory : str
        "cartesian", or the file's word for what is not: "radial", "spiral", ...
    encoded_shape : tuple of int
        Matrix that was measured, with its oversampling.
    image_shape : tuple of int
        Of the image that is wanted: what `crop` returns.
    pixel_size : tuple of float
        In `unit`, along the axes of the image.
    unit : {"mm", "pixel"}
        "pixel" where the file does not state the size.
    has_noise_scan : bool
    dtype : numpy.dtype
        Type of the stored samples; k-space is returned as complex64.
    notes : tuple of str
        What was assumed or left out in reading the file.
    contents : Contents
        What the reader found.
    """

    def __init__(self, path: Path, contents: Contents, source: Source):
        super().__init__(path, source)
        self.contents = contents
        self.format, self.notes, self.dtype = contents.format, contents.notes, contents.dtype
        self.slices, self.repetitions = contents.slices, len(contents.frames)
        self.coils, self.frames = contents.coils, contents.frames
        self.trajectory = contents.trajectory
        self.encoded_shape, self.image_shape = contents.encoded_shape, contents.image_shape
        self.unit: Literal["mm", "pixel"] = "pixel" if contents.pixel_size is None else "mm"
        self.pixel_size = contents.pixel_size or (1.0,) * len(self.image_shape)
        self.has_noise_scan = contents.has_noise_scan

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the samples contradict of what the file states: a sentence each."""
        return self.contents.contradictions

    def kspace(self, slice: int = 0, repetition: int = 0) -> KSpace:
        """k-space of one slice or volume, read from the file.

        Parameters
        ----------
        slice, repetition : int
            Counted from 0; negative numbers count from the end.

        Raises
        ------
        DataError
            When nothing was measured there, or samples are NaN or infinite.
        FileError
            When the file is damaged or closed.

        Warns
        -----
        InvgenWarning
            Once, where the samples contradict what the file states.
        """
        # as stored, on the encoded grid, and one array of work
        samples = self.coils * math.prod(self.contents.encoded_shape)
        require_memory(24 * samples, f"k-space of {self.path}", "choose fewer slices")
        kspace = self.contents.read(
            self._index(slice, self.slices, "slice"),
            self._index(repetition, self.repetitions, "repetition"),
        )
        return replace(kspace, report=self._doubts() + kspace.report)

    def crop(self, image: torch.Tensor) -> torch.Tensor:
        """The wanted part of an image on the operator's grid: the middle, of `image_shape`.

        An axis that is not longer than what is wanted stays as it is. For fastMRI's files the middle begins
        where its ``center_crop`` has it, ``(n - m) // 2``; the entry ``n // 2`` becomes ``m // 2`` in others.
        """
        dimensions = len(self.image_shape)
        if image.ndim < dimensions:
            raise ShapeError(f"images have {dimensions} axes; got the shape {tuple(image.shape)}.")
        for axis, m in zip(range(-dimensions, 0), self.image_shape, strict=True):
            n = image.shape[axis]
            image = image.narrow(axis, self._first(n, m), min(n, m))
        return image

    def placement(self, grid: Sequence[int]) -> Placement:
        """Where the slices of the scan, or of all its slabs, are in space, when cropped.

        Where the file does not state it, they are axial slices around the origin.

        Parameters
        ----------
        grid : sequence of int
            Shape of the operator's images.
        """
        known = self.unit == "mm" and self.contents.orientation is not None
        size = (1, *self.pixel_size)[-3:]
        middle = (0, *(n // 2 - self._first(n, m) for n, m in zip(grid, self.image_shape, strict=True)))[-3:]
        if len(self.image_shape) == 3:
            depth, size_across = min(grid[0], self.image_shape[0]), size[0]
            distance = depth * size_across
        else:
            depth = 1
            distance = size_across = (self.unit == "mm" and self.contents.thickness) or size[-1]
        orientation = self.contents.orientation if known else None
        orientation = orientation or Orientation.axial(self.slices, distance)
        across = (np.arange(depth) - middle[0]) * size_across
        right, down, normal = orientation.directions
        corners = orientation.centers - middle[2] * size[2] * right - middle[1] * size[1] * down
        positions = corners[:, None] + across[:, None] * normal
        return Placement(
            positions.reshape(-1, 3), right, down, (size[1], size[2]), size_across, self.unit, known
        )

    def _first(self, n: int, m: int) -> int:
        """Of n entries along an axis, the first that is wanted, of m."""
        if n <= m:
            return 0
        return (n - m) // 2 if self.format == "fastmri" else central(n, m).start

    def reference(self, slice: int = 0) -> torch.Tensor | None:
        """Reconstruction of the slice that the file itself holds, float32; None where it has none."""
        return self.contents.reference(self._index(slice, self.slices, "slice"))

    @cached_property
    def acceleration(self) -> float:
        """True acceleration of the middle slice: pixels of the operator's grid for each sample of a coil."""
        return self.kspace(self.slices // 2).acceleration

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_shape))
        counts = f"{self.coils} coils, {self.slices} slices, {self.repetitions} repetitions"
        return (
            f"{type(self).__name__}({str(self.path)!r}, {self.format}, {self.trajectory}: {size}, {counts})"
        )
