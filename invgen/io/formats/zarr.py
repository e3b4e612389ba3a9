"""Zarr: a folder of chunks, one for each slice, described as OME-Zarr is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from invgen.core.errors import CapabilityError, FileError
from invgen.core.files import atomic_folder
from invgen.core.memory import require_memory
from invgen.core.text import brief
from invgen.io.formats.volume import SliceWriter

__all__ = ["ZarrVolume", "ZarrWriter", "open_zarr"]

_FORM, _VERSION = "invgen reconstruction 1", "0.5"
#: Lengths of axes, and characters of the description, beyond which a file is not one of these.
_LONGEST, _MOST_TEXT = 2**20, 2**24


class ZarrWriter(SliceWriter):
    """Write images to a folder in Zarr, version 3; it appears under its name when all of them are there.

    The array ``0`` has the axes (z, y, x), of several frames (frame, z, y, x), and a chunk for each image,
    not compressed. Its sizes stand where OME-Zarr 0.5 has them; source, settings and placement are the
    attribute ``invgen``, what was done to each slice ``report``.

    Raises
    ------
    CapabilityError
        Without the package zarr.
    FileError
        When there is something of that name.
    """

    holds_complex = True
    holds_color = False

    @classmethod
    def check(cls, path: Path, slices: int) -> None:
        """Refuse a folder that exists."""
        _require_zarr()
        if path.exists():
            raise FileError(f"{path} exists; Zarr is written to a new folder.")

    def _open(self, stack: ExitStack) -> None:
        import zarr

        volume, place = self._volume, self._volume.placement
        folder = stack.enter_context(atomic_folder(self._path))
        axes = [{"name": name, "type": "space"} for name in "zyx"]
        if place.unit == "mm":
            axes = [axis | {"unit": "millimeter"} for axis in axes]
        distance = float(np.linalg.norm(place.step)) or 1.0
        scale, shape = [distance, *map(float, place.pixel_size)], (volume.slices, *volume.image_shape)
        if volume.frames is not None:
            axes, scale, shape = [{"name": "frame"}, *axes], [1.0, *scale], (volume.frames, *shape)
        datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
        multiscales = [{"name": volume.quantity, "axes": axes, "datasets": datasets}]
        self._group = zarr.create_group(
            folder,
            zarr_format=3,
            attributes={
                "ome": {"version": _VERSION, "multiscales": multiscales},
                "invgen": {"format": _FORM, **json.loads(volume.description)},
            },
        )
        self._array = self._group.create_array(
            "0",
            shape=shape,
            chunks=(*(1 for _ in shape[:-2]), *shape[-2:]),
            dtype=self._dtype,
            compressors=None,
            dimension_names=[axis["name"] for axis in axes],
        )
        self._reports = [""] * volume.count

    def _put(self, index: int, values: np.ndarray, report: tuple[str, ...]) -> None:
        self._array[tuple(map(int, np.unravel_index(index, self._array.shape[:-2])))] = values
        self._reports[index] = "\n".join(report)

    def _finish(self) -> None:
        self._group.attrs["report"] = self._reports


class ZarrVolume:
    """Slices in a folder of Zarr, of one frame, read when it is sliced.

    Attributes
    ----------
    shape : (int, int, int)
    dtype : numpy.dtype
    file : object with ``filename`` and ``close()``
    """

    ndim = 3

    def __init__(self, array: Any, path: Path, frame: int | None) -> None:
        self._array, self._frame = array, frame
        self.shape, self.dtype = array.shape[-3:], array.dtype
        self.file = SimpleNamespace(filename=str(path), close=lambda: None)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> np.ndarray:
        count = np.broadcast_to(np.uint8(0), self.shape)[index].size
        require_memory(count * self.dtype.itemsize, self.file.filename)
        place = index if isinstance(index, tuple) else (index,)
        try:
            return np.asarray(self._array[place if self._frame is None else (self._frame, *place)])
        except Exception as error:  # whatever chunks and their codecs come to
            raise FileError(f"{self.file.filename} is damaged: {brief(error, 200)}") from error


def open_zarr(path: Path) -> tuple[Any, Mapping[str, Any], list[str], int | None]:
    """Open a folder of `ZarrWriter`: its array, the description, the reports, and the number of frames.

    Raises
    ------
    CapabilityError
        Without the package zarr.
    FileError
        When it is something else, or damaged.
    """
    _require_zarr()
    import zarr

    try:
        size = (path / "zarr.json").stat().st_size
        if size > _MOST_TEXT:
            raise ValueError(f"its description has {size} bytes")
        group = zarr.open_group(path, mode="r", zarr_format=3)
        about, reports, array = group.attrs["invgen"], group.attrs["report"], group["0"]
        if not isinstance(about, Mapping) or not isinstance(array, zarr.Array):
            raise ValueError("it has no description, or no array of images")
        shape = array.shape
        if about["format"] != _FORM or array.dtype.str not in ("<f4", "<c8"):
            raise ValueError(f"it is of {about['format']!r} and type {array.dtype}")
        whole = (*(1 for _ in shape[:-2]), *shape[-2:])
        if len(shape) not in (3, 4) or not 0 < max(shape) <= _LONGEST or array.chunks != whole:
            raise ValueError(f"its images have the shape {shape} and chunks of {array.chunks}")
        if not (isinstance(reports, list) and all(isinstance(each, str) for each in reports)):
            raise ValueError("its reports are no texts")
        return array, about, reports, shape[0] if len(shape) == 4 else None
    except Exception as error:  # whatever a damaged description leads to
        raise FileError(f"{path} is no reconstruction of invgen recon: {brief(error, 200)}") from error


def _require_zarr() -> None:
    if find_spec("zarr") is None:
        raise CapabilityError("Zarr takes the package zarr: pip install 'invgen[zarr]'.")
