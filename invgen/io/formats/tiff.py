"""TIFF files of floating-point numbers, one page for each image, with OME's metadata."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, BinaryIO
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from invgen.core.files import atomic_path
from invgen.io.formats.volume import SliceWriter

__all__ = ["TiffWriter"]


class TiffWriter(SliceWriter):
    """Write a page for each image, float32, as OME-TIFF.

    Goldberg et al. (2005), The Open Microscopy Environment (OME) data model and XML file. Its metadata hold
    the size of pixels and the distance of slices, where they are known in mm, and as the description all
    else: orientation and settings. Files of more than 4 GB are BigTIFF.
    """

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int]:
        import tifffile

        volume, path = self._volume, stack.enter_context(atomic_path(self._path))
        shape, axes = volume.stored_shape, "YX" if len(volume.image_shape) == 2 else "YXS"
        if volume.slices > 1:
            shape, axes = (volume.slices, *shape), f"Z{axes}"
        height, width = volume.placement.pixel_size
        metadata: dict[str, Any] = {"axes": axes, "Description": volume.description}
        metadata["UUID"] = str(uuid5(NAMESPACE_URL, volume.description))  # the same where a run goes on
        layout: dict[str, Any] = {}
        if volume.placement.unit == "mm":
            depth = float(np.linalg.norm(volume.placement.step))
            metadata |= {"PhysicalSizeX": width, "PhysicalSizeY": height, "PhysicalSizeZ": depth}
            metadata |= {f"PhysicalSize{axis}Unit": "mm" for axis in "XYZ"}
            layout = {"resolution": (10 / width, 10 / height), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(
            path,
            shape=shape,
            dtype=self._dtype,
            ome=True,
            photometric="rgb" if axes.endswith("S") else "minisblack",
            metadata=metadata,
            **layout,
        )
        with tifffile.TiffFile(path) as made:
            start = made.series[0].dataoffset
        assert start is not None, "pages that are written at once lie one after another"
        return stack.enter_context(path.open("r+b", buffering=0)), start
