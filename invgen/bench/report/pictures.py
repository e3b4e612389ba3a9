"""Images of a report: 8 bits, small enough for all of them to fit into one file."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from invgen.bench.record import Record

__all__ = ["BUDGET", "CONTRAST", "Pictures", "Shown", "collect"]

#: Characters that all images of a report may take together.
BUDGET = 24_000_000
#: Maps of errors and standard deviations end at this part of the truth's range.
CONTRAST = 5

#: Longest edge in pixels and quality of WebP (None: without loss), the best first.
_SIZES = (
    *((1024, None), (512, 90), (384, 85), (256, 85), (192, 80), (128, 80)),
    *((96, 75), (64, 75), (48, 75), (32, 75), (16, 75)),
)

Array = npt.NDArray[Any]
Load = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Shown:
    """Images of a record, as places in `Pictures.data`.

    Attributes
    ----------
    record : Record
    window : (float, float)
        Values that are black and white in image and truth.
    parts : mapping of str to int
        "image", "truth", "error", "std".
    """

    record: Record
    window: tuple[float, float]
    parts: Mapping[str, int]


@dataclass
class Pictures:
    """Images of many records.

    Attributes
    ----------
    edge : int
        Longest edge in pixels: larger images are averaged down to it.
    quality : int or None
        Of WebP; None without loss.
    data : list of str
        Base64 of WebP files, each once.
    shown : list of Shown
    """

    edge: int
    quality: int | None
    data: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    _places: dict[bytes, int] = field(default_factory=dict)

    def add(self, record: Record, arrays: Mapping[str, Any]) -> None:
        """Take the images of a record, if it has any."""
        planes = {name: _plane(np.asarray(array)) for name, array in arrays.items()}
        image = planes.get("image")
        if image is None:
            return
        truth = planes.get("truth", image)
        low, high = float(truth.min()), float(truth.max())
        width = high - low or 1.0
        found = {"image": self._place((image - low) / width)}
        if "truth" in planes:
            found["truth"] = self._place((truth - low) / width)
            found["error"] = self._place(_gray(np.abs(image - truth)) * CONTRAST / width)
        if "std" in planes:
            found["std"] = self._place(_gray(planes["std"]) * CONTRAST / width)
        self.shown.append(Shown(record, (low, high), found))

    def _place(self, values: Array) -> int:
        """Encode an image with values from 0 to 1, unless it is there."""
        levels = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
        key = hashlib.sha256(str(levels.shape).encode() + levels.tobytes()).digest()
        if key not in self._places:
            self._places[key] = len(self.data)
            self.data.append(self._encoded(levels))
        return self._places[key]

    def _encoded(self, levels: Array) -> str:
        from PIL import Image

        picture = Image.fromarray(levels)
        if max(picture.size) > self.edge:
            scale = self.edge / max(picture.size)
            width, height = (max(1, round(scale * n)) for n in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BOX)
        buffer, lossless = io.BytesIO(), self.quality is None
        picture.save(buffer, "WEBP", lossless=lossless, quality=100 if lossless else self.quality)
        return base64.b64encode(buffer.getvalue()).decode()


def collect(records: Sequence[Record], load: Load, budget: int = BUDGET) -> Pictures:
    """Images of records at the best size and quality at which all of them fit.

    Parameters
    ----------
    records : sequence of Record
    load : callable
        Arrays of a record by its identity: "image", "truth", "std".
    budget : int
        Characters for all images; what is smallest is taken even if it exceeds this.
    """
    done = [record for record in records if not record.failed]
    for size in _SIZES:
        fits = size == _SIZES[-1] or _estimate(done, load, size) <= budget
        if fits:
            found = Pictures(*size)
            for record in done:
                found.add(record, load(record.identity))
            if size == _SIZES[-1] or sum(map(len, found.data)) <= budget:
                return found
    raise AssertionError("the last size is always taken")


def _estimate(records: Sequence[Record], load: Load, size: tuple[int, int | None]) -> float:
    """Characters that the images would take, but for truths that are shared: from a few of the records."""
    some = records[:: max(1, len(records) // 16)]
    trial = Pictures(*size)
    for record in some:
        trial.add(record, load(record.identity))
    unshared = sum(len(trial.data[place]) for place in _unshared(trial.shown))
    return unshared * len(records) / max(1, len(some))


def _unshared(shown: Sequence[Shown]) -> Iterator[int]:
    for one in shown:
        yield from (place for name, place in one.parts.items() if name != "truth")


def _plane(array: Array) -> Array:
    """What is shown of an array: gray (H, W) or color (H, W, 3); of volumes the middle slice."""
    image = np.abs(array) if np.iscomplexobj(array) else array
    image = image.astype(np.float64)
    while image.ndim > 3 or (image.ndim == 3 and len(image) != 3):
        image = image[len(image) // 2]
    if image.ndim < 2:
        image = image.reshape(1, -1)
    return np.moveaxis(image, 0, -1) if image.ndim == 3 else image


def _gray(map_: Array) -> Array:
    """A map of one number for each pixel: of colors their mean."""
    return map_.mean(-1) if map_.ndim == 3 else map_
