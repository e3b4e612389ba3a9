"""The signal of receiver coils from a known object: its k-space, without a grid of pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from invgen import phantoms
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.simulate.coils import ORDER, on_grid, orders

__all__ = ["MRISource", "Signal", "signal_of"]

MRISource = Literal["head", "shepp-logan"] | phantoms.Ellipses | Tensor


class Signal(Protocol):
    """k-space of an object times sums of exponentials, whose weights are (maps, orders, orders).

    The unit of length is the pixel, that of k-space cycles per pixel; rows run downwards, and the origin is
    the pixel ``N // 2`` of each axis.
    """

    shape: tuple[int, int]

    def on_grid(self, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Signal at rows and columns of k-space, integers that count half cycles per field of view."""

    def at(self, weights: Tensor, k: Tensor) -> Tensor:
        """Signal at any points (n, 2), (ky, kx) in cycles per pixel: (maps, n)."""


def signal_of(
    source: MRISource, shape: tuple[int, int], scale: float, pixel_size: float, seed: int
) -> Signal:
    """The signal of a source whose lengths are multiplied by `scale`: a slice above or below the middle."""
    if isinstance(source, Tensor):
        return _Pixels(source, shape, scale)
    half = min(shape) / 2
    if isinstance(source, phantoms.Ellipses):
        phantom = source.scaled(length=1 / pixel_size)
    elif source == "head":
        phantom = phantoms.head(seed, half)
    elif source == "shepp-logan":
        phantom = phantoms.shepp_logan(half)
    else:
        raise ParameterError(
            "The source of an MRI scan is 'head', 'shepp-logan', an Ellipses phantom or an image tensor; "
            f"got {source!r}."
        )
    return _Phantom(phantom.scaled(length=scale), shape)


class _Phantom:
    """The signal of ellipses, in closed form."""

    def __init__(self, phantom: phantoms.Ellipses, shape: tuple[int, int]):
        # the object is in the middle of the image; the origin is a pixel's center
        down, right = ((n - 1) / 2 - n // 2 for n in shape)
        self._phantom, self.shape = replace(phantom, x=phantom.x + right, y=phantom.y - down), shape
        # exponentials shift k-space by whole steps of half a cycle per field of view: this lattice holds all
        # that a scan on a grid needs
        ky, kx = (torch.arange(-n - ORDER, n + ORDER, dtype=torch.float64) / (2 * n) for n in shape)
        self._lattice = self._phantom.kspace(kx, -ky[:, None])

    def on_grid(self, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        height, width = self.shape
        total = torch.zeros(len(weights), len(rows), len(columns), dtype=torch.complex128)
        for i, up in enumerate(orders().tolist()):
            lines = self._lattice[rows + height + ORDER - up]
            for j, left in enumerate(orders().tolist()):
                total += weights[:, i, j, None, None] * lines[:, columns + width + ORDER - left]
        return total

    def at(self, weights: Tensor, k: Tensor) -> Tensor:
        total = torch.zeros(len(weights), len(k), dtype=torch.complex128)
        for i, up in enumerate(orders().tolist()):
            for j, left in enumerate(orders().tolist()):
                ky, kx = k[:, 0] - up / (2 * self.shape[0]), k[:, 1] - left / (2 * self.shape[1])
                total += weights[:, i, j, None] * self._phantom.kspace(kx, -ky)
        return total


class _Pixels:
    """The signal of an image whose pixels, at least twice as fine as the scan's, are uniform squares."""

    def __init__(self, image: Tensor, shape: tuple[int, int], scale: float):
        if image.ndim != 2 or image.numel() == 0:
            raise ShapeError(
                f"A source image has shape (h, w); got {tuple(image.shape)}. Give one grey slice."
            )
        image = image.detach().cpu().to(torch.complex128 if image.is_complex() else torch.float64)
        if not bool(torch.isfinite(image.abs()).all()) or not bool(image.any()):
            raise DataError("A source image is finite and not zero everywhere.")
        self._image, self.shape = image, shape
        # the whole image fits into the field of view, and its pixels are square
        side = scale * min(n / m for n, m in zip(shape, image.shape, strict=True))
        self._fine = max(1, math.ceil(2 * side))
        self._side = side / self._fine
        middles = tuple((n - 1) / 2 - n // 2 for n in shape)  # of the image, from the origin
        self._places = tuple(
            middle + (torch.arange(m * self._fine) - (m * self._fine - 1) / 2).double() * self._side
            for middle, m in zip(middles, image.shape, strict=True)
        )

    def on_grid(self, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        height, width = self.shape
        ky, kx = torch.meshgrid(rows / (2 * height), columns / (2 * width), indexing="ij")
        return self.at(weights, torch.stack((ky, kx), -1).reshape(-1, 2)).unflatten(1, ky.shape)

    def at(self, weights: Tensor, k: Tensor) -> Tensor:
        from invgen.operators.nufft import NUFFT

        k = k.double()
        fine = self._image.repeat_interleave(self._fine, 0).repeat_interleave(self._fine, 1)
        y, x = (place / n for place, n in zip(self._places, self.shape, strict=True))
        objects = fine * on_grid(weights, y, x)
        values = NUFFT(tuple(fine.shape), k * self._side).forward(objects)
        # the transform's origin is the middle entry, wherever that lies; and each pixel is a square
        origin = torch.stack([place[len(place) // 2] for place in self._places])
        angle = -2 * math.pi * (k @ origin)
        square = torch.sinc(k * self._side).prod(-1) * self._side**2
        return values * torch.polar(square, angle)
