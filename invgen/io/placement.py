"""Where the pixels of slices are in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Orientation", "Placement", "centered"]


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a stack of slices are in space.

    Coordinates are those of DICOM, LPS: x grows to the left of the patient, y to the back, z to the head. An
    image as it is shown has its first row at the top, so that x is to the right and y down.

    Attributes
    ----------
    positions : array, shape (slices, 3)
        Middle of the first pixel of each slice.
    right, down : array, shape (3,)
        Unit vectors along which columns and rows are counted.
    pixel_size : (float, float)
        Height and width of a pixel.
    thickness : float
        Of a slice: their distance, where there is one only.
    unit : {"mm", "pixel"}
        Of all lengths.
    stated : bool
        Whether the scan states where it is; else its slices are as if they were axial, around the origin.
    """

    positions: np.ndarray
    right: np.ndarray
    down: np.ndarray
    pixel_size: tuple[float, float]
    thickness: float
    unit: str
    stated: bool = False

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slices, towards later ones."""
        normal = np.cross(self.right, self.down)
        return -normal if normal @ (self.positions[-1] - self.positions[0]) < 0 else normal

    @property
    def step(self) -> np.ndarray:
        """From one slice to the next, shape (3,); the mean where they are unevenly apart."""
        count = len(self.positions)
        if count == 1:
            return self.thickness * self.normal
        return (self.positions[-1] - self.positions[0]) / (count - 1)

    @property
    def affine(self) -> np.ndarray:
        """Matrix (4, 4) that takes (column, row, slice, 1) to (x, y, z, 1)."""
        height, width = self.pixel_size
        matrix = np.eye(4)
        matrix[:3] = np.stack([width * self.right, height * self.down, self.step, self.positions[0]], axis=1)
        return matrix

    def cropped(self, row: int, column: int) -> Placement:
        """The placement of images that are left from this pixel on."""
        height, width = self.pixel_size
        moved = row * height * self.down + column * width * self.right
        return replace(self, positions=self.positions + moved)


@dataclass(frozen=True)
class Orientation:
    """Where a file states that slices or slabs are, in mm and DICOM's coordinates LPS.

    Attributes
    ----------
    centers : array, shape (slices, 3)
        Origin of the image of each slice or slab.
    directions : array, shape (3, 3)
        Rows are unit vectors along which the image's columns, its rows, and slices are counted.
    """

    centers: np.ndarray
    directions: np.ndarray

    @classmethod
    def axial(cls, count: int, distance: float) -> Orientation:
        """Axial slices around the origin, where a file states nothing."""
        return cls((np.arange(count) - (count - 1) / 2)[:, None] * [0, 0, distance], np.eye(3))


def centered(
    image_shape: Sequence[int],
    pixel_size: float | tuple[float, float],
    offsets: Sequence[float],
    thickness: float,
    unit: str,
    *,
    stated: bool = False,
) -> Placement:
    """Place axial slices with the middle of each at x = y = 0.

    Parameters
    ----------
    image_shape : sequence of int
        Ends with (H, W).
    pixel_size : float or (float, float)
        Height and width.
    offsets : sequence of float
        z of each slice.
    thickness, unit, stated
        As of `Placement`.
    """
    height, width = np.broadcast_to(np.asarray(pixel_size, dtype=np.float64), 2).tolist()
    rows, columns = image_shape[-2:]
    z = np.asarray(offsets, dtype=np.float64)
    first = [-(columns - 1) / 2 * width, -(rows - 1) / 2 * height]
    positions = np.column_stack([np.broadcast_to(first, (len(z), 2)), z])
    return Placement(
        positions, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (height, width), thickness, unit, stated
    )
