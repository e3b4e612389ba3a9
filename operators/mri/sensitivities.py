"""Coil sensitivities around a transform."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from invgen.core.frozen import Constant
from invgen.core.threads import torch_threads

__all__ = ["Sensitivities"]


#: Bytes of coil images that are transformed in one call: enough for all threads, and little memory.
_CHUNK = 1 << 25


class Sensitivities:
    """Coil sensitivities s_c around a transform T: ``y_c = T(s_c x)``, and its adjoint.

    Parameters
    ----------
    maps : complex tensor, shape (coils, *image_shape)
    modulation : complex tensor, optional
        If given, T takes images that are multiplied by it and have their origin first, as after
        ``ifftshift``. Both are done together with the multiplication by the maps.
    """

    def __init__(self, maps: torch.Tensor, modulation: torch.Tensor | None = None) -> None:
        self._shape = tuple(maps.shape[1:])
        self._axes = tuple(range(-len(self._shape), 0))
        self._seen = Constant((maps != 0).any(0))
        starts = [n // 2 if modulation is not None else 0 for n in self._shape]
        if modulation is not None:
            maps = torch.fft.ifftshift(maps, dim=self._axes) * modulation
        #: The maps, shifted and modulated as the transform takes images.
        self.maps = Constant(maps)
        self._starts = starts
        rows = torch.arange(math.prod(self._shape[:-1])).reshape(self._shape[:-1])
        self._order = rows.roll([-start for start in starts[:-1]], dims=tuple(range(rows.ndim))).flatten()

    def forward(self, x: torch.Tensor, transform: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Measurements of all coils (batch, coils, ...), of images (batch, *image_shape).

        ``transform`` takes images with any leading axes, and may overwrite them.
        """
        parts = [transform(self._expand(maps, x)) for maps in self._chunks(x)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def adjoint(self, y: torch.Tensor, inverse: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) inverse(y_c)``, shape (batch, *image_shape)."""
        x = y.new_zeros(len(y), *self._shape)
        chunks = self._chunks(y)
        for maps, part in zip(chunks, y.split([len(maps) for maps in chunks], dim=1), strict=True):
            self._combine(maps, inverse(part), x)
        return x

    def gram(self, x: torch.Tensor, convolve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) convolve(s_c x)`` of images (batch, *image_shape); `convolve` may overwrite."""
        result = torch.zeros_like(x)
        for maps in self._chunks(x):
            self._combine(maps, convolve(self._expand(maps, x)), result)
        return result

    def _chunks(self, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The maps in chunks of `_CHUNK` bytes, of at least one coil each; on a GPU in one."""
        maps = self.maps.like(like)
        size = maps[0].numel() * maps.element_size()
        return (maps,) if like.is_cuda else maps.split(max(1, _CHUNK // size))

    def _expand(self, maps: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, *image_shape) times the maps, (batch, coils, *image_shape)."""
        if x.is_cuda:
            return maps * x.roll([-start for start in self._starts], dims=self._axes).unsqueeze(1)
        from invgen.operators.mri import sensitivities_cpu as cpu

        y = x.new_empty(len(x), *maps.shape)
        s, order, first = _rows(maps), self._order.numpy(), self._starts[-1]
        with torch_threads():
            for image, seen in zip(x.contiguous(), y, strict=True):
                cpu.spread(s, _rows(image[None])[0], order, first, _rows(seen))
        return y

    def _combine(self, maps: torch.Tensor, z: torch.Tensor, x: torch.Tensor) -> None:
        """Adjoint of `_expand`, added to `x`."""
        if z.is_cuda:
            x += torch.linalg.vecdot(maps, z, dim=1).roll(self._starts, dims=self._axes)
            return
        from invgen.operators.mri import sensitivities_cpu as cpu

        s, order, first = _rows(maps), self._order.numpy(), self._starts[-1]
        with torch_threads():
            for seen, image in zip(z.contiguous(), x, strict=True):
                cpu.combine(s, _rows(seen), order, first, _rows(image[None])[0])

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where all sensitivities are zero."""
        return torch.where(self._seen.like(x), x, 0)

    def power(self) -> torch.Tensor:
        """``sum_c |s_c(q)|^2`` over the frequencies q of ``torch.fft.fftn``, unitary, in float64."""
        axes = tuple(range(1 - self.maps.value.ndim, 0))
        return sum(
            torch.fft.fftn(s.to(torch.complex128), dim=axes, norm="ortho").abs().square()
            for s in self.maps.value
        )


def _rows(x: torch.Tensor) -> np.ndarray:
    """Rows of real and imaginary parts side by side, (coils, rows, 2 W), sharing the memory."""
    return torch.view_as_real(x).view(len(x), -1, 2 * x.shape[-1]).numpy()
