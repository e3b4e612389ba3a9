"""Reconstructions on disk: written slice by slice, with all that a repetition needs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from invgen.errors import FileError, ParameterError
from invgen.files import atomic_path, guarded_hdf5
from invgen.io.hdf5 import find_object, get_dataset, open_hdf5, read_all, text_attribute

_FORMAT = "invgen reconstruction 1"


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
            file, self._guard = stack.enter_context(guarded_hdf5(beside))
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
