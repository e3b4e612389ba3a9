"""Many small images in one picture, pixel by pixel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ShapeError
from invgen.core.files import atomic_path

__all__ = ["save_grid"]

#: Largest width of a picture, and distance of two images, in pixels.
_WIDTH, _GAP = 1200, 2


def save_grid(
    images: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    window: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Write images side by side as PNG, each pixel a square; the modulus of complex ones.

    Parameters
    ----------
    images : tensor, shape (n, H, W), (n, 1, H, W) or (n, 3, H, W)
    path : path
    columns : int, optional
        Images in a row; by default the picture is about square.
    window : pair of float
        Values that become black and white.

    Raises
    ------
    ShapeError
        If these are no images.
    ParameterError
        If `columns` is no positive whole number.
    FileError
        If the file cannot be written.
    """
    from PIL import Image

    if images.ndim not in (3, 4) or not len(images) or (images.ndim == 4 and images.shape[1] not in (1, 3)):
        raise ShapeError(
            "save_grid expects images (n, H, W), or (n, C, H, W) of one or three channels; got "
            f"{tuple(images.shape)}."
        )
    values = (images.abs() if images.is_complex() else images).detach().cpu().double().numpy()
    values = values[:, None] if values.ndim == 3 else values
    low, high = window
    levels = np.clip(255 * (values - low) / (high - low), 0, 255).round().astype(np.uint8)
    n, channels, height, width = levels.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else as_count(columns, "columns")
    zoom = max(1, min(8, _WIDTH // (columns * (width + _GAP))))
    rows = math.ceil(n / columns)
    tall, wide = zoom * height + _GAP, zoom * width + _GAP
    canvas = np.full((rows * tall + _GAP, columns * wide + _GAP, channels), 255, np.uint8)
    for i, image in enumerate(levels):
        top, left = i // columns * tall + _GAP, i % columns * wide + _GAP
        tile = np.moveaxis(image, 0, -1).repeat(zoom, 0).repeat(zoom, 1)
        canvas[top : top + zoom * height, left : left + zoom * width] = tile
    with atomic_path(path) as beside:
        picture = Image.fromarray(canvas.squeeze(-1) if channels == 1 else canvas)
        picture.save(beside, format="PNG", optimize=True)
