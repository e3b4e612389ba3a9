"""Conformal intervals as JSON, in files that may be anybody's."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen.calibration.kinds import Kind
from invgen.core.checks import has_type, is_count
from invgen.core.errors import FileError
from invgen.core.json_files import check_entries
from invgen.core.text import quoted

__all__ = ["FORMAT", "from_header", "to_header"]

#: What the entry "format" says.
FORMAT = "invgen conformal intervals 1"

#: Largest numbers of pixels of an image, and of regions, in a file.
_MOST_PIXELS, _MOST_REGIONS = 2**26, 10_000

#: Fields that are in a file as they are.
_PLAIN = ("about", "images", "level", "guarantee", "confidence", "width", "floor")

_TYPES: dict[str, Any] = {
    "about": str,
    "images": int,
    "level": float,
    "guarantee": str,
    "confidence": float | None,
    "width": str,
    "floor": float,
    "shape": Sequence[int],
    "factors": float | Sequence[float],
    "settings": Mapping[str, str | float | bool | None],
    "ranges": Mapping[str, Sequence[float]],
}


def to_header(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ConformalIntervals` as JSON can hold them."""
    factors, kind = fields["factors"].cpu(), fields["kind"]
    header = {name: fields[name] for name in _PLAIN}
    header |= {
        "format": FORMAT,
        "settings": dict(kind.settings),
        "ranges": {name: list(ends) for name, ends in kind.ranges.items()},
        "shape": list(factors.shape),
        "factors": factors.flatten().tolist() if factors.ndim else float(factors),
    }
    for name in ("regions", "mask"):
        if (value := fields[name]) is not None:
            header[name] = {"shape": list(value.shape), "bits": _bits(value)}
    return header


def from_header(header: Any, source: object) -> dict[str, Any]:
    """The fields of `ConformalIntervals` of what was parsed; `source` is what holds it.

    Raises
    ------
    FileError
        For anything that `to_header` does not make.
    """
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        stated = header.get("format") if isinstance(header, dict) else None
        version = f"; its format is {quoted(stated)}, this version reads {FORMAT!r}" if stated else ""
        raise FileError(
            f"{source} holds no conformal intervals, which ConformalIntervals.save writes{version}."
        )
    check_entries(header, _TYPES, f"The file of intervals {source}")
    try:
        shape = _shape(header["shape"], "factors")
        factors = torch.tensor(header["factors"], dtype=torch.float64)
        if factors.numel() != math.prod(shape) or (factors.ndim > 0) != (len(shape) > 0):
            raise ValueError(f"{factors.numel()} factors do not fill the shape {shape}")
        masks = {name: _mask(header[name]) if name in header else None for name in ("regions", "mask")}
        _check_shapes(header["guarantee"], shape, masks["regions"], masks["mask"])
        if not is_count(header["images"]):
            raise ValueError(f"{header['images']} images")
        numbers = {name: float(header[name]) for name in ("level", "floor")}
        ranges = {name: _range(ends) for name, ends in header["ranges"].items()}
    except (ValueError, OverflowError, RuntimeError) as error:
        raise FileError(f"The intervals in {source} are damaged: {error}.") from error
    plain = {name: header[name] for name in _PLAIN}
    return {
        **plain,
        **numbers,
        **masks,
        "factors": factors.reshape(shape),
        "kind": Kind(header["settings"], ranges),
    }


def _check_shapes(
    guarantee: str, shape: tuple[int, ...], regions: Tensor | None, mask: Tensor | None
) -> None:
    """Raise where factors, regions and mask are not of one image."""
    if regions is not None and (mask is not None or regions.ndim < 2 or len(regions) > _MOST_REGIONS):
        raise ValueError(f"regions of the shape {tuple(regions.shape)}")
    if guarantee != "each":
        if shape:
            raise ValueError(f"factors of the shape {shape}, where one number is expected")
        return
    wanted: tuple[int, ...] | None = None if regions is None else (len(regions),)
    if mask is not None:
        wanted = tuple(mask.shape)
    if not shape or (wanted is not None and shape != wanted):
        raise ValueError(f"factors of the shape {shape}, where {wanted or 'that of an image'} is expected")


def _shape(given: Any, name: str) -> tuple[int, ...]:
    if not (
        has_type(given, Sequence[int])
        and all(is_count(n, _MOST_PIXELS) for n in given)
        and math.prod(given) <= _MOST_PIXELS
    ):
        raise ValueError(f"the shape of its {name} is {quoted(given)}")
    return tuple(given)


def _range(ends: Any) -> tuple[float, float]:
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or not 0 < ends[0] <= ends[1]:
        raise ValueError(f"a range of {quoted(ends)}")
    return float(ends[0]), float(ends[1])


def _bits(mask: Tensor) -> str:
    return base64.b64encode(np.packbits(mask.cpu().numpy()).tobytes()).decode("ascii")


def _mask(entry: Any) -> Tensor:
    if not isinstance(entry, dict) or not isinstance(entry.get("bits"), str):
        raise ValueError("a mask without its bits")
    shape = _shape(entry.get("shape"), "mask")
    size = math.prod(shape)
    try:
        packed = np.frombuffer(base64.b64decode(entry["bits"], validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise ValueError(f"the bits of a mask: {error}") from error
    if len(packed) != (size + 7) // 8:
        raise ValueError(f"{len(packed)} bytes of a mask of {size} pixels")
    return torch.from_numpy(np.unpackbits(packed, count=size).astype(bool)).reshape(shape)
