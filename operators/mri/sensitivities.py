"""Coil sensitivities around a transform."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch

from invgen.core.frozen import Constant
from invgen.core.kernels import Kernels
from invgen.operators.mri import sensitivities_torch

__all__ = ["Sensitivities"]


def _cpu() -> ModuleType:
    from invgen.operators.mri import sensitivities_cpu

    return sensitivities_cpu


def _gpu() -> ModuleType:
    from invgen.operators.mri import sensitivities_gpu

    return sensitivities_gpu


def _trial(kernels: ModuleType, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Two small volumes of three coils."""
    numbers = torch.arange(2.0 * 3 * 4 * 5 * 7, device=device).reshape(2, 3, 4, 5, 7)
    z = torch.polar(torch.ones_like(numbers), numbers)
    x, maps, starts = z[:, 0].clone(), z[0], (2, 2, 3)
    seen = kernels.expand(maps, x, starts)
    kernels.combine(maps, z, starts, x)
    return torch.view_as_real(seen), torch.view_as_real(x)


_KERNELS = Kernels(sensitivities_torch, cpu=_cpu, gpu=_gpu, trial=_trial)

#: Bytes of coil images that are transformed in one call: on a CPU what stays in its caches, where a gram of
#: eight coils and 512x512 takes a third of the time that it takes through memory; on a GPU of a batch.
_CHUNK, _GPU_CHUNK = 1 << 21, 1 << 30


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
        self._starts = tuple(starts)

    def forward(self, x: torch.Tensor, transform: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Measurements of all coils (batch, coils, ...), of images (batch, *image_shape).

        ``transform`` takes images with any leading axes, and may overwrite them.
        """
        kernels, (images, chunks) = _KERNELS.serving(x), self._chunks(x)
        return _joined(
            [
                _joined([transform(kernels.expand(maps, some, self._starts)) for maps in chunks], 1)
                for some in x.split(images)
            ],
            0,
        )

    def adjoint(self, y: torch.Tensor, inverse: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) inverse(y_c)``, shape (batch, *image_shape)."""
        x = y.new_zeros(len(y), *self._shape)
        kernels, (images, chunks) = _KERNELS.serving(y), self._chunks(y)
        for some, sums in zip(y.split(images), x.split(images), strict=True):
            for maps, part in zip(chunks, some.split([len(maps) for maps in chunks], dim=1), strict=True):
                kernels.combine(maps, inverse(part), self._starts, sums)
        return x

    def gram(self, x: torch.Tensor, convolve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) convolve(s_c x)`` of images (batch, *image_shape); `convolve` may overwrite."""
        kernels, result, (images, chunks) = _KERNELS.serving(x), torch.zeros_like(x), self._chunks(x)
        for some, sums in zip(x.split(images), result.split(images), strict=True):
            for maps in chunks:
                seen = kernels.expand(maps, some, self._starts)
                kernels.combine(maps, convolve(seen), self._starts, sums)
        return result

    def _chunks(self, like: torch.Tensor) -> tuple[int, tuple[torch.Tensor, ...]]:
        """Number of images in one call, and the maps in chunks of at least one coil."""
        maps, bound = self.maps.like(like), _GPU_CHUNK if like.is_cuda else _CHUNK
        size = maps[0].numel() * maps.element_size()
        chunks = maps.split(max(1, bound // size))
        return max(1, bound // (size * len(chunks[0]))), chunks

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


def _joined(parts: list[torch.Tensor], axis: int) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)
