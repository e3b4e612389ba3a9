"""What compressors need for the digits, in bits per dimension."""

from __future__ import annotations

import bz2
import io
import lzma

import numpy as np
from PIL import Image
from torch import Tensor


def together(images: Tensor) -> dict[str, float]:
    """All images as one file, by general compressors."""
    raw = images.numpy().tobytes()
    return {
        "xz": 8 * len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)) / len(raw),
        "bz2": 8 * len(bz2.compress(raw, 9)) / len(raw),
    }


def one_by_one(images: Tensor) -> dict[str, float]:
    """Each image as a file of its own, header included."""
    settings = {
        "PNG": {"format": "PNG", "optimize": True},
        "WebP": {"format": "WEBP", "lossless": True, "quality": 100, "method": 6},
    }
    arrays = images.numpy()
    return {
        name: 8 * sum(_size(array, options) for array in arrays) / arrays.size
        for name, options in settings.items()
    }


def _size(array: np.ndarray, options: dict) -> int:
    file = io.BytesIO()
    Image.fromarray(array).save(file, **options)
    return file.tell()
