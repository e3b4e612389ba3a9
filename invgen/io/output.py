"""Reconstructions on disk: written slice by slice, with everything that is needed to repeat them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from invgen.core.checks import as_count, is_count
from invgen.core.errors import FileError, ParameterError
from invgen.core.files import atomic_path, guarded_hdf5
from invgen.core.text import brief, parse_json
from invgen.io.formats.volume import provenance
from invgen.io.formats.zarr import ZarrVolume, open_zarr
from invgen.io.hdf5 import (
    Dataset,
    File,
    attribute,
    find_object,
    get_dataset,
    has_link,
    open_hdf5,
    read_all,
    reading,
    text_attribute,
    text_entry,
)
from invgen.io.intervals import Intervals, IntervalsWriter
from invgen.io.placement import Placement
from invgen.io.plausibility import PlausibilityWriter, Plausible
from invgen.io.uncertainty import Posterior, PosteriorWriter

__all__ = ["Reconstructed", "ReconstructionWriter", "bytes_per_pixel", "read_reconstruction"]

_REAL, _COMPLEX = "invgen reconstruction 1", "invgen reconstruction 2"


def bytes_per_pixel(complex: bool, samples: int | None = None, intervals: bool = False) -> int:
    """Size of the output of `ReconstructionWriter` for each pixel of each slice."""
    drawn = 0 if samples is None else PosteriorWriter.bytes_per_pixel(complex, samples)
    return (12 if complex else 4) + drawn + (8 if intervals else 0)


class ReconstructionWriter:
    """Write a volume slice by slice to HDF5; the file appears under its name when all slices are there.

    ``/reconstruction`` has the shape (slices, H, W), of color images (slices, 3, H, W), and one chunk per
    slice. It is float32, or complex64 with
    the modulus beside it in ``/magnitude``, float32, for programs without complex numbers. ``/report``
    lists what preprocessing did to each slice; ``/geometry/angles`` are the angles of a CT scan, in radians.
    Attributes hold the rest. Where there are samples, ``/reconstruction`` is their mean, and beside it stands
    what `invgen.io.uncertainty.PosteriorWriter` writes. With a learned prior, how plausible the slices are
    stands in ``/plausibility``: see `invgen.io.plausibility.PlausibilityWriter`. Calibrated intervals
    stand in ``/intervals``: see `invgen.io.intervals.IntervalsWriter`.

    Parameters
    ----------
    path : str or Path
        The file to write.
    slices : int
        Number of slices, of each frame.
    frames : int, optional
        Number of frames, as of time or energy: the arrays of images then have a further axis, the first, and
        images are counted through all slices of the first frame, then those of the second.
    image_shape : tuple of int
        Shape (H, W) of a slice, or (3, H, W).
    pixel_size : float or (float, float)
        Of the image, in `unit`; where pixels are not square, their height and width.
    unit : str
        ``"mm"`` or ``"pixel"``.
    source : str or Path
        The scan.
    settings : mapping
        Settings of the run, as can be written to JSON: enough to repeat it.
    complex : bool
        Whether the images are complex.
    samples : int, optional
        Number of samples of each slice.
    antithetic : bool
        Whether samples 2k and 2k + 1 are antithetic pairs.
    intervals : mapping, optional
        What is said of intervals, where each slice has some; see `invgen.io.intervals.IntervalsWriter`.
    angles : array, shape (views,), optional
        Of a CT scan, in radians.
    center : float, optional
        Of a CT scan: detector column of the rotation axis, before binning.
    placement : Placement, optional
        Where the slices are in space. The attribute ``affine``, (4, 4), takes (column, row, slice, 1) to
        (x, y, z, 1) in `unit`, in DICOM's coordinates LPS (x to the patient's left, y to the back, z to the
        head); ``/positions``, (slices, 3), are those of the first pixel of each slice, which may be unevenly
        apart.
    created : str, optional
        When the run began; by default now.

    Raises
    ------
    ParameterError
        When a number of slices, samples or pixels is no positive whole number.
    FileError
        When the file cannot be written, or slices are missing at the end.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        slices: int,
        image_shape: tuple[int, ...],
        pixel_size: float | tuple[float, float],
        unit: str,
        source: str | Path,
        settings: Mapping[str, Any],
        complex: bool = False,
        samples: int | None = None,
        antithetic: bool = False,
        intervals: Mapping[str, Any] | None = None,
        angles: np.ndarray | None = None,
        center: float | None = None,
        placement: Placement | None = None,
        created: str | None = None,
        frames: int | None = None,
    ):
        self._path = Path(path)
        self._axes: tuple[int, ...] = (as_count(slices, "slices"),)
        if frames is not None:
            self._axes = (as_count(frames, "frames"), *self._axes)
        self._slices = math.prod(self._axes)
        self._image_shape = tuple(as_count(n, "image_shape") for n in image_shape)
        self._samples = None if samples is None else as_count(samples, "samples")
        self._antithetic = antithetic
        self._complex, self._angles, self._about = complex, angles, intervals
        self._written: set[int] = set()
        self._attributes: dict[str, Any] = {
            "format": _COMPLEX if complex else _REAL,
            **provenance(source, settings, created),
            "pixel_size": pixel_size,
            "unit": unit,
        }
        if frames is not None:
            self._attributes["frames"] = frames
        if center is not None:
            self._attributes["center"] = float(center)
        if placement is not None:
            self._attributes["affine"] = placement.affine
        self._placement = placement
        self._stack = ExitStack()

    def __enter__(self) -> ReconstructionWriter:
        with ExitStack() as stack:
            beside = stack.enter_context(atomic_path(self._path))
            file, self._guard = stack.enter_context(guarded_hdf5(beside))
            file.attrs.update(self._attributes)
            if self._angles is not None:
                angles = file.create_dataset("geometry/angles", data=self._angles, dtype="f8")
                angles.attrs["units"] = "rad"
            if self._placement is not None:
                file.create_dataset("positions", data=self._placement.positions, dtype="f8")
            chunk = (*(1 for _ in self._axes), *self._image_shape)
            layout = {"shape": (*self._axes, *self._image_shape), "chunks": chunk}
            self._volume = file.create_dataset(
                "reconstruction", dtype="c8" if self._complex else "f4", **layout
            )
            self._magnitude = (
                file.create_dataset("magnitude", dtype="f4", **layout) if self._complex else None
            )
            self._posterior = (
                None
                if self._samples is None
                else PosteriorWriter(
                    file,
                    self._samples,
                    self._slices,
                    self._image_shape,
                    self._complex,
                    self._antithetic,
                )
            )
            self._plausibility: PlausibilityWriter | None = None
            self._intervals = (
                None if self._about is None else IntervalsWriter(file, self._slices, self._about)
            )
            self._report = file.create_dataset("report", (self._slices,), h5py.string_dtype())
            self._stack = stack.pop_all()
        return self

    def write(
        self,
        index: int,
        image: torch.Tensor | np.ndarray,
        report: tuple[str, ...] = (),
        samples: torch.Tensor | None = None,
    ) -> None:
        """Write a slice (H, W) or (3, H, W), the report of its preprocessing, and its samples."""
        image = torch.as_tensor(image).detach().cpu().numpy()
        if image.shape != self._image_shape or not is_count(index, self._slices - 1, least=0):
            raise ParameterError(
                f"expected slice 0 to {self._slices - 1} of shape {self._image_shape}; "
                f"got slice {index} of shape {image.shape}."
            )
        if image.dtype.kind == "c" and not self._complex:
            raise ParameterError("the file is one of real images; write the modulus, or open it as complex.")
        if (samples is None) != (self._posterior is None):
            raise ParameterError("samples of each slice are written where the file was opened for them.")
        if self._posterior is not None and samples is not None:
            self._posterior.write(index, samples)
        place = np.unravel_index(index, self._axes)
        self._volume[place] = image
        if self._magnitude is not None:
            self._magnitude[place] = np.abs(image)
        self._report[index] = "\n".join(report)
        self._written.add(index)
        self._volume.file.flush()
        self._guard.check()  # a full disk stops the run here, not at its end

    def judge(self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None) -> None:
        """Write how plausible a slice is: p-values by their names, and the map (H, W)."""
        if self._plausibility is None:
            self._plausibility = PlausibilityWriter(self._volume.file, self._slices, self._image_shape[-2:])
        self._plausibility.write(index, p_values, shown)

    def bound(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:
        """Write the ends of a slice's intervals, (H, W), or of regions (k,)."""
        if self._intervals is None:
            raise ParameterError("intervals are written where the file was opened for them.")
        self._intervals.write(index, lower, upper)

    def __exit__(self, kind, error, traceback) -> None:
        if error is None and len(self._written) < self._slices:
            error = FileError(
                f"{self._path} was not written: "
                f"{self._slices - len(self._written)} of {self._slices} slices are missing."
            )
            self._stack.__exit__(type(error), error, None)
            raise error
        self._stack.__exit__(kind, error, traceback)


@dataclass(frozen=True)
class Reconstructed:
    """A reconstruction in a file: the volume stays there until it is sliced, until `close`.

    Attributes
    ----------
    volume : Dataset or ZarrVolume, shape (slices, H, W), of color images (slices, 3, H, W)
        Of float32 or complex64.
    pixel_size : float
        Width of a pixel.
    pixel_height : float
    unit : str
    angles : array, shape (views,), or None
        Of a CT scan, in radians.
    center : float or None
        Of a CT scan.
    posterior : Posterior or None
        Samples and their statistics, where the volume is their mean.
    plausible : Plausible or None
        How plausible the slices are, where they were made with a learned prior.
    intervals : Intervals or None
        Calibrated intervals, where there are some.
    source : str
    settings, versions : dict
    created : str
    affine : array, shape (4, 4), or None
        Takes (column, row, slice, 1) to coordinates LPS in `unit`, where the file has it.
    frames : int or None
        Number of frames of the file, as of time or energy, where it has an axis of them.
    frame : int
        The one that `volume` is of.
    reports : tuple of str, or None
        What preprocessing did to each slice, where it is not read on demand.
    """

    volume: Dataset | ZarrVolume
    pixel_size: float
    pixel_height: float
    unit: str
    angles: np.ndarray | None
    center: float | None
    posterior: Posterior | None
    source: str
    settings: dict[str, Any]
    versions: dict[str, str]
    created: str
    affine: np.ndarray | None = None
    plausible: Plausible | None = None
    intervals: Intervals | None = None
    frames: int | None = None
    frame: int = 0
    reports: tuple[str, ...] | None = None

    @property
    def is_complex(self) -> bool:
        """Whether the images are complex: those of MRI."""
        return self.volume.dtype.kind == "c"

    def report(self, slice: int) -> tuple[str, ...]:
        """What preprocessing did to a slice, one sentence each."""
        place = self.frame * len(self.volume) + slice
        if self.reports is not None:
            return tuple(self.reports[place].splitlines())
        assert isinstance(self.volume, Dataset), "others have the reports"
        report = text_entry(get_dataset(self.volume.file, "report"), place)
        return tuple(report.splitlines())

    def close(self) -> None:
        """Close the file."""
        self.volume.file.close()

    def __enter__(self) -> Reconstructed:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_reconstruction(path: str | Path, frame: int = 0) -> Reconstructed:
    """Open a file of `ReconstructionWriter`, or a folder of Zarr; the volume is read when it is sliced.

    Parameters
    ----------
    path : path
    frame : int
        Which frame of a file that has several.

    Raises
    ------
    FileError
        When the file is damaged, or is no reconstruction.
    ParameterError
        When it has no such frame.
    """
    if Path(path).is_dir():
        return _of_zarr(Path(path), frame)
    file = open_hdf5(Path(path))

    def text(name: str) -> str:
        found = text_attribute(file, name)
        if found is None:
            raise FileError(f"{path} is damaged: it has no attribute {name!r}, which is a text.")
        return found

    try:
        form, volume = text_attribute(file, "format"), find_object(file, "reconstruction")
        if form not in (_REAL, _COMPLEX) or not isinstance(volume, Dataset):
            raise FileError(f"{path} is no reconstruction of invgen recon.")
        with reading(path, "the reconstruction"):  # whatever its attributes hold that they should not
            if volume.dtype.kind != ("f" if form == _REAL else "c"):
                raise ValueError(f"its images are of type {volume.dtype}")
            size = np.asarray(attribute(file, "pixel_size"), dtype=np.float64)
            height, width = np.broadcast_to(size, 2).tolist()
            of_ct = has_link(file, "geometry")
            several = attribute(file, "frames")
            frames = None if several is None else int(several)
            if frames is not None and (volume.ndim != 4 or len(volume) != frames):
                raise ValueError(f"its images have the shape {volume.shape}, and it has {frames} frames")
            _check_frame(path, frame, frames)
            return Reconstructed(
                volume=volume if frames is None else volume.part(frame),
                pixel_size=width,
                pixel_height=height,
                unit=text("unit"),
                angles=read_all(get_dataset(file, "geometry/angles")).reshape(-1) if of_ct else None,
                center=float(attribute(file, "center")) if of_ct else None,
                posterior=Posterior.of(file, volume),
                source=text("source"),
                settings=parse_json(text("settings"), f"the settings of {path}"),
                versions=parse_json(text("versions"), f"the versions of {path}"),
                created=text("created"),
                affine=_affine(file),
                plausible=Plausible.of(file, volume),
                intervals=Intervals.of(file, volume),
                frames=frames,
                frame=frame,
            )
    except BaseException:
        file.close()
        raise


def _check_frame(path: str | Path, frame: int, frames: int | None) -> None:
    last = (frames or 1) - 1
    if not is_count(frame, last, least=0):
        raise ParameterError(f"{path} has {last + 1} frames, 0 to {last}; got {frame!r}.")


def _of_zarr(path: Path, frame: int) -> Reconstructed:
    """Open a folder of Zarr."""
    array, about, reports, frames = open_zarr(path)
    _check_frame(path, frame, frames)
    try:
        height, width = map(float, about["pixel_size"])
        found = Reconstructed(
            volume=ZarrVolume(array, path, None if frames is None else frame),
            pixel_size=width,
            pixel_height=height,
            unit=str(about["unit"]),
            angles=None,
            center=None,
            posterior=None,
            source=str(about["source"]),
            settings=dict(about["settings"]),
            versions=dict(about["versions"]),
            created=str(about["created"]),
            affine=np.asarray(about["affine"], dtype=np.float64).reshape(4, 4),
            frames=frames,
            frame=frame,
            reports=tuple(reports),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is damaged: {brief(error, 200)}") from error
    if len(reports) != len(found.volume) * (frames or 1):
        raise FileError(f"{path} is damaged: it has {len(reports)} reports for {len(found.volume)} slices.")
    return found


def _affine(file: File) -> np.ndarray | None:
    """Of a file that has it, which those of before have not."""
    found = attribute(file, "affine")
    return None if found is None else np.asarray(found, dtype=np.float64).reshape(4, 4)
