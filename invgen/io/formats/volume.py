"""What all formats of images share: a description, and slices as numbers that lie one after another."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Self

import numpy as np
import torch

from invgen.core.checks import is_count
from invgen.core.errors import FileError, ParameterError
from invgen.core.files import atomic_path
from invgen.io.placement import Placement

__all__ = ["SliceWriter", "Volume", "now", "package_versions", "provenance"]


def now() -> str:
    """The time, as outputs have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the values of an output, and write it."""
    versions = {name: version(name) for name in ("invgen", "torch", "numpy", "h5py")}
    return {"python": platform.python_version()} | versions


def provenance(source: str | Path, settings: Mapping[str, Any], created: str | None = None) -> dict[str, str]:
    """What is needed to repeat a run, as text: the scan, the settings as JSON, the versions, the time.

    That is when the run began, where it is given.
    """
    return {
        "source": str(source),
        "settings": json.dumps(dict(settings)),
        "versions": json.dumps(package_versions()),
        "created": created or now(),
    }


@dataclass(frozen=True)
class Volume:
    """Images that are to be written.

    Attributes
    ----------
    slices : int
    image_shape : tuple of int
        (H, W), or (3, H, W) in color.
    placement : Placement
    modality : {"CT", "MR", "image"}
    complex : bool
        Whether the images are complex.
    origin : dict from str to str
        As of `provenance`.
    quantity : str
        What the values are: the image, or the deviation of its samples.
    frames : int or None
        Of several, each of so many slices, the images come one after another.
    """

    slices: int
    image_shape: tuple[int, ...]
    placement: Placement
    modality: Literal["CT", "MR", "image"]
    complex: bool
    origin: dict[str, str]
    quantity: str = "image"
    frames: int | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return self.slices * (self.frames or 1)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Of an image in files: (H, W), or (H, W, 3)."""
        return self.image_shape if len(self.image_shape) == 2 else (*self.image_shape[1:], 3)

    @property
    def description(self) -> str:
        """All that is to be known of the images, as JSON; the affine matrix is that of `Placement`."""
        place = self.placement
        return json.dumps(
            {
                **self.origin,
                "settings": json.loads(self.origin["settings"]),
                "versions": json.loads(self.origin["versions"]),
                "quantity": self.quantity,
                "unit": place.unit,
                "pixel_size": list(place.pixel_size),
                "slice_distance": float(np.linalg.norm(place.step)),
                "affine": place.affine.tolist(),
            }
        )


class SliceWriter(ABC):
    """Write images to a file, which appears under its name when all of them are there.

    They are float32; of complex images the modulus is written, unless the format `holds_complex`.

    Parameters
    ----------
    path : str or Path
    volume : Volume

    Raises
    ------
    FileError
        When the file cannot be written, images are missing at the end, or they have colors for which the
        format has no place.
    """

    holds_complex: ClassVar[bool] = False
    holds_color: ClassVar[bool] = True

    def __init__(self, path: str | Path, volume: Volume) -> None:
        self._path, self._volume = Path(path), volume
        self.check(self._path, volume.slices)
        if len(volume.image_shape) == 3 and not self.holds_color:
            raise FileError(
                f"{path} holds gray images, and these are in color: write them to a .h5, .tif or .npy file."
            )
        self._dtype = np.dtype("<c8" if volume.complex and self.holds_complex else "<f4")
        self._written: set[int] = set()

    @classmethod  # noqa: B027 (most formats take any name and number)
    def check(cls, path: Path, slices: int) -> None:
        """Refuse a name, or a number of images, before there is anything to write.

        Raises
        ------
        FileError, CapabilityError
        """

    @classmethod
    def bytes_per_value(cls, path: Path, complex: bool) -> int:
        """Room that a value takes on the disk until the file is complete."""
        return 8 if complex and cls.holds_complex else 4

    @abstractmethod
    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int] | None:
        """Open the file, which `stack` closes, write what precedes the numbers; and where they begin.

        None of formats in which they do not lie one after another, which have a `_put` of their own.
        """

    def _finish(self) -> None:  # noqa: B027 (most formats need no more)
        """Complete the file, once all numbers are there."""

    def _beside(self, stack: ExitStack) -> BinaryIO:
        """A file that takes the name when it is complete."""
        path = stack.enter_context(atomic_path(self._path))
        return stack.enter_context(path.open("r+b", buffering=0))

    def _scratch(self, stack: ExitStack) -> BinaryIO:
        """A file without a name, for numbers that are yet to be encoded."""
        folder = Path(os.path.realpath(self._path)).parent
        return stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))

    def _read(self, index: int) -> np.ndarray:
        """An image that was written."""
        shape = self._volume.stored_shape
        size = math.prod(shape) * self._dtype.itemsize
        self._numbers.seek(self._start + index * size)
        return np.frombuffer(self._numbers.read(size), self._dtype).reshape(shape)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if (opened := self._open(stack)) is not None:
                self._numbers, self._start = opened
            self._stack = stack.pop_all()
        return self

    def judge(  # noqa: B027 (no format of images alone has a place for it)
        self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None
    ) -> None:
        """Nothing: such files hold images alone."""

    def bound(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:  # noqa: B027 (likewise)
        """Nothing: such files hold images alone."""

    def write(
        self,
        index: int,
        image: torch.Tensor,
        report: tuple[str, ...] = (),
        samples: torch.Tensor | None = None,
    ) -> None:
        """Write an image (H, W) or (3, H, W); samples have no place in such a file, in most no report."""
        values = image.detach().cpu().numpy()
        shape, count = self._volume.image_shape, self._volume.count
        if values.shape != shape or not is_count(index, count - 1, least=0):
            raise ParameterError(
                f"expected slice 0 to {count - 1} of shape {shape}; "
                f"got slice {index} of shape {values.shape}."
            )
        if values.dtype.kind == "c" and self._dtype.kind != "c":
            values = np.abs(values)
        if values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        self._put(index, np.ascontiguousarray(values, dtype=self._dtype), report)
        self._written.add(index)

    def _put(self, index: int, values: np.ndarray, report: tuple[str, ...]) -> None:
        """Write the numbers of an image."""
        self._numbers.seek(self._start + index * values.nbytes)
        _write_all(self._numbers, values)

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            if missing := self._volume.count - len(self._written):
                raise FileError(
                    f"{self._path} was not written: {missing} of {self._volume.count} slices are missing."
                )
            self._finish()


def _write_all(file: BinaryIO, values: np.ndarray) -> None:
    """Write without a buffer, so that a full disk is met here."""
    rest = memoryview(values.data).cast("B")
    while rest:
        rest = rest[file.write(rest) :]
