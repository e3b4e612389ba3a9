"""Images to simulate a scan of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from invgen.core.errors import FileError, InvgenError, ShapeError
from invgen.core.files import check_regular
from invgen.core.memory import require_memory
from invgen.core.text import brief
from invgen.io.arrays import load_npy
from invgen.io.images import check_picture

__all__ = ["read_image"]


def read_image(path: Path, named: str) -> torch.Tensor:
    """Read a gray image, of a color image the luminance.

    Parameters
    ----------
    path : Path
        A picture, or a NPY file.
    named : str
        Sources of other kinds, for the message.

    Returns
    -------
    tensor, float64 (H, W)

    Raises
    ------
    FileError, ShapeError
        For what is no such image.
    """
    if not path.exists():
        raise FileError(f"The source of a scan is {named} or an image file; there is no file {path}.")
    check_regular(path)
    try:
        if path.suffix == ".npy":
            values = load_npy(path)
            require_memory(12 * values.size, str(path))
        else:
            check_picture(path)
            with Image.open(path) as image:
                values = np.asarray(image if image.mode in ("L", "F", "I", "I;16") else image.convert("L"))
    except (InvgenError, MemoryError):
        raise
    except Exception as error:  # what the parsers of many formats run into
        raise FileError(f"{path} cannot be read as an image: {brief(error)}.") from error
    if values.dtype.kind not in "buif":
        raise ShapeError(f"{path} should hold real numbers; it holds {brief(values.dtype)}.")
    return torch.from_numpy(values.astype(np.float64))
