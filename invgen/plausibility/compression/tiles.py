"""Images of any size as tiles of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Tiling"]


@dataclass(frozen=True)
class Tiling:
    """A grid of tiles from the upper left corner on; what sticks out at the right and below is not coded.

    Attributes
    ----------
    size : (int, int)
        Height and width of an image.
    tile : (int, int)
    """

    size: tuple[int, int]
    tile: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = (-(-side // tile) for side, tile in zip(self.size, self.tile, strict=True))
        return rows, columns

    @property
    def count(self) -> int:
        """Tiles of an image."""
        return self.grid[0] * self.grid[1]

    def cut(self, images: np.ndarray) -> np.ndarray:
        """Tiles ``(n count, C, h, w)`` of images ``(n, C, H, W)``; they are zero where they stick out."""
        n, channels, height, width = images.shape
        (rows, columns), (h, w) = self.grid, self.tile
        padded = np.zeros((n, channels, rows * h, columns * w), images.dtype)
        padded[..., :height, :width] = images
        tiles = padded.reshape(n, channels, rows, h, columns, w).transpose(0, 2, 4, 1, 3, 5)
        return tiles.reshape(-1, channels, h, w)

    def joined(self, tiles: np.ndarray) -> np.ndarray:
        """The inverse of `cut`."""
        channels, h, w = tiles.shape[1:]
        (rows, columns), (height, width) = self.grid, self.size
        images = tiles.reshape(-1, rows, columns, channels, h, w).transpose(0, 3, 1, 4, 2, 5)
        return images.reshape(-1, channels, rows * h, columns * w)[..., :height, :width]

    def coded(self, first: int, number: int) -> Tensor:
        """Where tiles, counted over all images, lie within theirs: bool, shape (number, h, w)."""
        row, column = np.divmod(np.arange(first, first + number) % self.count, self.grid[1])
        inside = [
            (place * tile)[:, None] + np.arange(tile) < side
            for place, tile, side in zip((row, column), self.tile, self.size, strict=True)
        ]
        return torch.from_numpy(inside[0][:, :, None] & inside[1][:, None, :])
