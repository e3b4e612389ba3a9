"""What images a prior is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ImageFormat", "format_of"]


@dataclass(frozen=True)
class ImageFormat:
    """Stub."""

    shape: tuple[int, ...] | None = None
    axes: int = 0
    value_range: tuple[float, float] | None = None
    noise_range: tuple[float, float] | None = None
    std: float | None = None


def format_of(prior: Any) -> ImageFormat:
    """Stub."""
    return ImageFormat(
        axes=getattr(prior, "_image_axes", 0),
        value_range=getattr(prior, "value_range", None),
        noise_range=getattr(prior, "noise_range", None),
        std=getattr(prior, "spread", None),
    )
