"""An MRI scan: what is in the file, its k-space on demand, and the reconstruction problem of each slice."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.io.mri.contents import Contents, KSpace, central

if TYPE_CHECKING:
    from invgen.problem import Problem

#: How coil sensitivities are found: estimated, or taken as equal everywhere.
Coils = Literal["espirit", "adaptive", "none"]


class MRIScan:
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
        Of the image that is wanted: what `crop` gives.
    pixel_size : tuple of float
        In `unit`, along the axes of the image.
    unit : {"mm", "pixel"}
        "pixel" where the file does not tell the size.
    has_noise_scan : bool
    dtype : numpy.dtype
        Type of the stored samples; k-space is given as complex64.
    notes : tuple of str
        What was assumed or left out in reading the file.
    contents : Contents
        What the reader found.
    """

    def __init__(self, path: Path, contents: Contents, close: Callable[[], None]):
        self.path, self.contents, self._close = path, contents, close
        self.format, self.notes, self.dtype = contents.format, contents.notes, contents.dtype
        self.slices, self.repetitions = contents.slices, len(contents.frames)
        self.coils, self.frames = contents.coils, contents.frames
        self.trajectory = contents.trajectory
        self.encoded_shape, self.image_shape = contents.encoded_shape, contents.image_shape
        self.unit: Literal["mm", "pixel"] = "pixel" if contents.pixel_size is None else "mm"
        self.pixel_size = contents.pixel_size or (1.0,) * len(self.image_shape)
        self.has_noise_scan = contents.has_noise_scan
        self._open = True

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
            When the file is damaged.
        """
        return self.contents.read(
            self._index(slice, self.slices, "slice"),
            self._index(repetition, self.repetitions, "repetition"),
        )

    def problem(
        self,
        slice: int = 0,
        repetition: int = 0,
        *,
        coils: Coils | torch.Tensor = "espirit",
        compress: int | None = None,
        whiten: bool = True,
    ) -> Problem:
        """Reconstruction problem of one slice or volume: operator with its coil maps, k-space, and noise.

        Parameters
        ----------
        slice, repetition : int
        coils : {"espirit", "adaptive", "none"} or complex tensor, shape (coils, *grid)
            Coil sensitivities: estimated from the calibrated middle of k-space, from low-resolution images,
            or none, each coil being as sensitive everywhere; or maps on the operator's grid. One coil needs
            none.
        compress : int, optional
            Combine the coils into so many virtual ones, those of most signal.
        whiten : bool
            Where the noise was measured, decorrelate the coils, so that the noise is one number; else its
            covariance is part of the noise model.

        Returns
        -------
        Problem
            Its noise is None where it was not measured. Images are on the operator's grid; see `crop`.

        Raises
        ------
        DataError, ParameterError
            When the maps cannot be estimated from what was measured; the message says what can.
        """
        from invgen.io.mri.problems import to_problem

        return to_problem(self.kspace(slice, repetition), coils=coils, compress=compress, whiten=whiten)

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
            if n > m:
                start = (n - m) // 2 if self.format == "fastmri" else central(n, m).start
                image = image.narrow(axis, start, m)
        return image

    def reference(self, slice: int = 0) -> torch.Tensor | None:
        """Reconstruction of the slice that the file itself holds, float32; None where it has none."""
        return self.contents.reference(self._index(slice, self.slices, "slice"))

    @cached_property
    def acceleration(self) -> float:
        """True acceleration of the middle slice: pixels of the operator's grid for each sample of a coil."""
        return self.kspace(self.slices // 2).acceleration

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON; reads the middle slice."""
        from invgen.io.mri.info import describe

        return describe(self)

    def _index(self, index: int, count: int, what: str) -> int:
        if not self._open:
            raise FileError(
                f"{self.path} is closed; read from it within the `with` block, or before close()."
            )
        found = index + count if index < 0 else index
        if not 0 <= found < count:
            raise ParameterError(f"there is no {what} {index}: the scan has {count}, 0 to {count - 1}.")
        return found

    def close(self) -> None:
        """Close the file."""
        self._open = False
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_shape))
        counts = f"{self.coils} coils, {self.slices} slices, {self.repetitions} repetitions"
        return f"MRIScan({str(self.path)!r}, {self.format}, {self.trajectory}: {size}, {counts})"
