"""Where reconstructed slices go: files, or memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

import torch

from invgen.core.errors import FileError
from invgen.core.moments import moments
from invgen.io import IMAGE_FORMATS, ReconstructionWriter, bytes_per_pixel, format_of
from invgen.io.formats.npy import aside
from invgen.io.formats.volume import SliceWriter, Volume, provenance
from invgen.pipeline.frames import Frames
from invgen.pipeline.imaging import Restoration
from invgen.pipeline.outputs import require_room
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import settings_of
from invgen.pipeline.work import Work

__all__ = ["Memory", "Sink", "check_name", "file_for", "outputs_of", "require_room_for"]

#: Formats of which one file has all, and those with an axis of frames.
_ALONE, _OF_FRAMES = (None, "hdf5", "png"), (None, "hdf5", "npy", "zarr")


class Sink(Protocol):
    """What takes slices one by one."""

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Take a slice (H, W), the report of its preprocessing, and its samples (n, H, W)."""

    def judge(self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None) -> None:
        """Take how plausible a slice is: p-values by their names, and the map (H, W)."""

    def bound(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:
        """Take the ends of a slice's intervals, (H, W), or of regions (k,)."""


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
    maps : tensor, shape (count, H, W), or None
        Of plausibility.
    intervals : (tensor, tensor), each of shape (count, H, W), or None
        Of regions (count, k).
    """

    def __init__(self, work: Work, count: int) -> None:
        dtype, n = torch.complex64 if work.complex else torch.float32, work.recipe.samples
        self.images = torch.empty(count, *work.shape, dtype=dtype)
        self.samples = None if n is None else torch.empty(n, count, *work.shape, dtype=dtype)
        self.maps: torch.Tensor | None = None
        self.intervals: tuple[torch.Tensor, torch.Tensor] | None = None

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Keep a slice."""
        self.images[index] = image
        if self.samples is not None and samples is not None:
            self.samples[:, index] = samples

    def of(self, frames: Frames) -> torch.Tensor:
        """The images of each frame, (frames, slices, H, W)."""
        return self.images.unflatten(0, (len(frames.numbers), -1))

    def judge(self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None) -> None:
        """Keep a map; p-values are in the summary."""
        if shown is not None:
            if self.maps is None:
                self.maps = torch.empty(len(self.images), *shown.shape)
            self.maps[index] = shown

    def bound(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:
        """Keep intervals."""
        if self.intervals is None:
            none = torch.full((len(self.images), *lower.shape), torch.nan)
            self.intervals = none, none.clone()
        for kept, end in zip(self.intervals, (lower, upper), strict=True):
            kept[index] = end


class _WithDeviation:
    """Images in one file, and the standard deviation of their samples in another."""

    def __init__(self, images: SliceWriter, deviation: SliceWriter, antithetic: bool) -> None:
        self._images, self._deviation, self._antithetic = images, deviation, antithetic

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._deviation)
            stack.enter_context(self._images)
            self._stack = stack.pop_all()
        return self

    def write(
        self, index: int, image: torch.Tensor, report: tuple[str, ...], samples: torch.Tensor | None
    ) -> None:
        """Write an image, and the deviation of its samples from their mean."""
        assert samples is not None, "the method draws them"
        self._images.write(index, image)
        self._deviation.write(index, moments(samples, self._antithetic).std)

    def judge(self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None) -> None:
        """Nothing: such files hold images alone."""

    def bound(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:
        """Nothing: `check_name` refuses such files where there are intervals."""

    def __exit__(self, kind, error, traceback) -> None:
        self._stack.__exit__(kind, error, traceback)


def outputs_of(output: Path, work: Work) -> tuple[Path, ...]:
    """All files that are written under a name; the first is that of the images."""
    form = format_of(output, work.recipe.image_format)
    found: tuple[Path, ...] = (output,)
    if _has_deviation(form, work):
        found += (deviation_of(output),)
    if form == "npy" and not isinstance(work, Restoration):
        found += tuple(map(aside, found))
    return found


def _has_deviation(form: str | None, work: Work) -> bool:
    """Whether the standard deviation of samples is in a file of its own."""
    return form not in _ALONE and (work.recipe.samples or 1) > 1


def deviation_of(output: Path) -> Path:
    """Name of the standard deviation beside images: ``image_std.nii.gz`` of ``image.nii.gz``."""
    name, dot, suffixes = output.name.partition(".")
    return output.with_name(f"{name}_std{dot}{suffixes}")


def check_name(output: Path, work: Work, count: int, frames: Frames | None = None) -> None:
    """Refuse a name, or a format, to which this work is not written.

    Raises
    ------
    FileError, ParameterError, CapabilityError
    """
    form = format_of(output, work.recipe.image_format)
    if form is None and isinstance(work, Restoration):
        suffixes = ", ".join(suffix for each in IMAGE_FORMATS.values() for suffix in each.suffixes)
        raise FileError(f"{output} ends with none of {suffixes}, which images are written to.")
    if form == "png" and not isinstance(work, Restoration):
        raise FileError(
            f"{output}: the values of a scan's image are not those of a picture. Write them to a .h5 file, "
            "and draw that by invgen view."
        )
    if form not in (None, "hdf5") and work.intervals is not None:
        raise FileError(f"{output}: intervals (--calibration) are written to HDF5; give a name with .h5.")
    if frames is not None and form not in _OF_FRAMES:
        raise FileError(f"{output}: several frames are written to a .h5, .npy or .zarr file.")
    if form is not None and (writer := IMAGE_FORMATS[form].writer) is not None:
        writer.check(output, count)


def require_room_for(output: Path, work: Work, count: int) -> bool:
    """Fail before the work where the disk has no room for the slices; see `require_room`.

    Returns
    -------
    bool
        Whether there is room for them twice, for what is kept on the way.
    """
    form = format_of(output, work.recipe.image_format)
    writer = IMAGE_FORMATS[form or "hdf5"].writer
    if writer is None:
        needed = bytes_per_pixel(work.complex, work.recipe.samples, work.intervals is not None)
    else:
        needed = writer.bytes_per_value(output, work.complex) * (1 + _has_deviation(form, work))
    needed *= count * math.prod(work.shape)
    return require_room(output, needed) >= 2 * needed


def file_for(
    output: Path,
    path: Path,
    reading: Reading,
    work: Work,
    slices: range,
    created: str,
    frames: Frames | None = None,
) -> AbstractContextManager[Sink]:
    """The file of slices of a scan, or of images, with what a repetition needs where the format holds it.

    `created` is when the run began.
    """
    recipe, placement = work.recipe, work.placed(slices)
    settings = settings_of(path, output, reading, recipe, slices)
    count = None if frames is None else len(frames.numbers)
    form = format_of(output, recipe.image_format)
    writer = IMAGE_FORMATS[form or "hdf5"].writer
    if writer is None:
        return ReconstructionWriter(
            output,
            slices=len(slices),
            frames=count,
            image_shape=work.shape,
            pixel_size=work.pixel_size,
            unit=work.unit,
            source=path.resolve(),
            settings=settings,
            complex=work.complex,
            samples=recipe.samples,
            antithetic=work.antithetic,
            placement=placement,
            created=created,
            intervals=None if work.intervals is None else work.intervals.about_them(),
            **work.about,
        )
    volume = Volume(
        len(slices),
        work.shape,
        placement,
        work.modality,
        work.complex,
        provenance(path.resolve(), settings, created),
        frames=count,
    )
    images = writer(output, volume)
    if not _has_deviation(form, work):
        return images
    deviation = replace(volume, complex=False, quantity="standard deviation")
    return _WithDeviation(images, writer(deviation_of(output), deviation), work.antithetic)
