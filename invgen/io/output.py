"""Reconstructions on disk: written beside and renamed, slice by slice, with all that a repetition needs."""

from __future__ import annotations

import io
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from invgen.errors import FileError, ParameterError
from invgen.io.hdf5 import find_object, get_dataset, open_hdf5, read_all, text_attribute

_FORMAT = "invgen reconstruction 1"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which takes the name `path` when the block ends well, and else disappears.

    The file of that name, if there is one, stays as it is until then, also at Ctrl-C.

    Raises
    ------
    FileError
        When the folder cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise FileError(f"{path} is a folder; give the name of a file to write.")
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part" + target.suffix, dir=target.parent
        )
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        _publish(beside, target)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(
                f"{path} cannot be written: {_reason(error)}. Nothing is left under that name."
            ) from error
        raise


def _publish(beside: Path, target: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(beside, 0o666 & ~mask)  # temporary files are private; an output has the usual permissions
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, target)


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return "the disk is full" if error.errno == 28 or "No space left" in str(error) else text


@contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to write, which appears under the name `path` when the block ends well.

    Raises
    ------
    FileError
        When the folder cannot be written to, or the disk is full.
    """
    with atomic_path(path) as beside, _guarded_hdf5(beside) as (file, _):
        yield file


class _Guard(io.RawIOBase):
    """A file that keeps the first error of writing, and tells it when asked.

    HDF5 cannot close a file that it cannot write: it tries again when Python ends, and crashes there.
    """

    def __init__(self, path: Path):
        self._file = path.open("r+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that writing has met."""
        if self._error is not None:
            raise self._error

    def write(self, data) -> int:
        """Write all the data, or nothing more once something has failed."""
        rest = memoryview(data).cast("B")
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return self.tell() if size is None else size

    def readinto(self, buffer) -> int:
        """Read into the buffer, zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view)
        view[count:] = bytes(len(view) - count)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the place in the file."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def _guarded_hdf5(path: Path) -> Iterator[tuple[h5py.File, _Guard]]:
    with closing(_Guard(path)) as guard:
        with h5py.File(guard, "w") as file:
            yield file, guard
        guard.check()


class ReconstructionWriter:
    """Write a volume slice by slice to HDF5; the file appears under its name when all slices are there.

    ``/reconstruction`` has the shape (slices, H, W), float32, and one chunk per slice; ``/geometry/angles``
    the angles in radians; ``/report`` what preprocessing did to each slice. Attributes hold the rest.

    Parameters
    ----------
    path : str or Path
        The file to write.
    slices : int
        Number of slices.
    image_shape : tuple of int
        Shape (H, W) of a slice.
    pixel_size : float
        Of the image, in `unit`.
    unit : str
        ``"mm"`` or ``"pixel"``.
    source : str or Path
        The scan.
    settings : mapping
        What the run was told, as can be written to JSON: enough to repeat it.
    angles : array, shape (views,)
        Radians.
    center : float
        Detector column of the rotation axis, before binning.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        slices: int,
        image_shape: tuple[int, int],
        pixel_size: float,
        unit: str,
        source: str | Path,
        settings: Mapping[str, Any],
        angles: np.ndarray,
        center: float,
    ):
        self._path, self._slices = Path(path), slices
        self._image_shape = tuple(image_shape)
        self._written: set[int] = set()
        self._attributes = {
            "format": _FORMAT,
            "source": str(source),
            "settings": json.dumps(dict(settings)),
            "versions": json.dumps(
                {"python": platform.python_version()}
                | {name: version(name) for name in ("invgen", "torch", "numpy", "h5py")}
            ),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "pixel_size": float(pixel_size),
            "unit": unit,
            "center": float(center),
        }
        self._angles = np.asarray(angles, dtype=np.float64)
        self._stack = ExitStack()

    def __enter__(self) -> ReconstructionWriter:
        with ExitStack() as stack:
            beside = stack.enter_context(atomic_path(self._path))
            file, self._guard = stack.enter_context(_guarded_hdf5(beside))
            file.attrs.update(self._attributes)
            angles = file.create_dataset("geometry/angles", data=self._angles)
            angles.attrs["units"] = "rad"
            shape = (self._slices, *self._image_shape)
            self._volume = file.create_dataset("reconstruction", shape, "f4", chunks=(1, *self._image_shape))
            self._report = file.create_dataset("report", (self._slices,), h5py.string_dtype())
            self._stack = stack.pop_all()
        return self

    def write(self, index: int, image: torch.Tensor | np.ndarray, report: tuple[str, ...] = ()) -> None:
        """Write a slice of shape (H, W), and the report of its preprocessing."""
        image = torch.as_tensor(image).detach().cpu().numpy()
        if image.shape != self._image_shape or not 0 <= index < self._slices:
            raise ParameterError(
                f"expected slice 0 to {self._slices - 1} of shape {self._image_shape}; "
                f"got slice {index} of shape {image.shape}."
            )
        self._volume[index] = image
        self._report[index] = "\n".join(report)
        self._written.add(index)
        self._volume.file.flush()
        self._guard.check()  # a disk that is full stops the run here, not at its end

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
    volume : h5py.Dataset, shape (slices, H, W), float32
    pixel_size : float
    unit : str
    angles : array, shape (views,)
        Radians.
    center : float
    source : str
    settings, versions : dict
    created : str
    """

    volume: h5py.Dataset
    pixel_size: float
    unit: str
    angles: np.ndarray
    center: float
    source: str
    settings: dict[str, Any]
    versions: dict[str, str]
    created: str

    def report(self, slice: int) -> tuple[str, ...]:
        """Tell what preprocessing did to a slice."""
        return tuple(get_dataset(self.volume.file, "report").asstr()[slice].splitlines())

    def close(self) -> None:
        """Close the file."""
        self.volume.file.close()

    def __enter__(self) -> Reconstructed:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_reconstruction(path: str | Path) -> Reconstructed:
    """Open what `ReconstructionWriter` wrote; the volume is read when it is sliced.

    Raises
    ------
    FileError
        When the file is damaged or something else.
    """
    file = open_hdf5(Path(path))
    try:
        if text_attribute(file, "format") != _FORMAT or not isinstance(
            find_object(file, "reconstruction"), h5py.Dataset
        ):
            raise FileError(f"{path} is no reconstruction of invgen recon.")
        return Reconstructed(
            volume=get_dataset(file, "reconstruction"),
            pixel_size=float(file.attrs["pixel_size"]),
            unit=str(file.attrs["unit"]),
            angles=read_all(get_dataset(file, "geometry/angles")),
            center=float(file.attrs["center"]),
            source=str(file.attrs["source"]),
            settings=json.loads(file.attrs["settings"]),
            versions=json.loads(file.attrs["versions"]),
            created=str(file.attrs["created"]),
        )
    except FileError:
        file.close()
        raise
    except (KeyError, ValueError, OSError, TypeError) as error:
        file.close()
        raise FileError(f"{path} is damaged: {error}") from error
