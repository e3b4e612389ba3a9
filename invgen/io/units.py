"""Lengths with their units, as files state them."""

from __future__ import annotations

__all__ = ["Length", "converted", "is_length"]

Length = tuple[float, str]  # and its unit

_METERS = {
    "m": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "millimeter": 1e-3,
    "millimeters": 1e-3,
    "um": 1e-6,
    "µm": 1e-6,
    "μm": 1e-6,
    "micron": 1e-6,
    "microns": 1e-6,
    "micrometer": 1e-6,
    "micrometers": 1e-6,
    "nm": 1e-9,
}
_ABSURD = 1e15  # no length here is that large in any unit, or that small by its inverse


def is_length(value: float) -> bool:
    """Whether a number can be a length: positive, and of a size that a length has in some unit."""
    return 1 / _ABSURD < value < _ABSURD


def converted(length: Length, unit: str) -> float | None:
    """Convert a length to another unit; None where one of the units is not known."""
    value, own = length[0], length[1].strip().lower()
    unit = unit.strip().lower()
    if own == unit:
        return value
    if own not in _METERS or unit not in _METERS:
        return None
    return value * (_METERS[own] / _METERS[unit])
