"""Coil sensitivities around a transform, one coil after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from invgen.operators.frozen import Constant
from invgen.operators.threads import torch_threads

__all__ = ["Sensitivities"]


class Sensitivities:
    """What all multi-coil operators do around a transform T: ``y_c = T(s_c x)``, and its adjoint.

    On a CPU one coil is done after the other, so that what lies between the maps and the transform stays in
    the cache: such an operator waits for memory, not for arithmetic. A GPU does all coils at once.

    Parameters
    ----------
    maps : complex tensor, shape (coils, *image_shape)
    """

    def __init__(self, maps: torch.Tensor) -> None:
        self._maps = Constant(maps)
        self._seen = Constant((maps != 0).any(0))

    def forward(
        self, x: torch.Tensor, transform: Callable[[torch.Tensor, torch.Tensor], object], y: torch.Tensor
    ) -> torch.Tensor:
        """Let ``transform(image, out)`` write the measurement of each coil to `y` (batch, coils, ...).

        Images `x` are (batch, *image_shape).
        """
        maps = self._maps.like(x)
        if x.is_cuda:
            transform(maps * x.unsqueeze(1), y)
            return y
        seen = torch.empty_like(maps[0])
        for image, measured in zip(x, y, strict=True):
            for s, out in zip(maps, measured, strict=True):
                transform(torch.mul(s, image, out=seen), out)
        return y

    def adjoint(self, y: torch.Tensor, inverse: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) inverse(y_c)``, shape (batch, *image_shape)."""
        maps = self._maps.like(y)
        if y.is_cuda:
            return torch.linalg.vecdot(maps, inverse(y), dim=1)
        x = torch.zeros(len(y), *maps.shape[1:], dtype=maps.dtype)
        for measured, image in zip(y, x, strict=True):
            for s, one in zip(maps, measured, strict=True):
                _accumulate(s, inverse(one), image)
        return x

    def gram(self, x: torch.Tensor, convolve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``sum_c conj(s_c) convolve(s_c x)`` of images (batch, *image_shape); `convolve` may overwrite."""
        maps = self._maps.like(x)
        if x.is_cuda:
            return torch.linalg.vecdot(maps, convolve(maps * x.unsqueeze(1)), dim=1)
        result, seen = torch.zeros_like(x), torch.empty_like(maps[0])
        for image, out in zip(x, result, strict=True):
            for s in maps:
                _accumulate(s, convolve(torch.mul(s, image, out=seen)), out)
        return result

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where no coil sees anything."""
        return torch.where(self._seen.like(x), x, 0)

    def power(self) -> torch.Tensor:
        """``sum_c |s_c(q)|^2`` over the frequencies q of ``torch.fft.fftn``, unitary, in float64."""
        axes = tuple(range(1 - self._maps.value.ndim, 0))
        return sum(
            torch.fft.fftn(s.to(torch.complex128), dim=axes, norm="ortho").abs().square()
            for s in self._maps.value
        )  # type: ignore[return-value]


def _accumulate(s: torch.Tensor, z: torch.Tensor, x: torch.Tensor) -> None:
    """Add ``conj(s) z`` to `x`, in one pass."""
    from invgen.operators.mri import cpu

    with torch_threads():
        cpu.accumulate(_rows(s), _rows(z.contiguous()), _rows(x))


def _rows(x: torch.Tensor) -> np.ndarray:
    """Rows of real and imaginary parts side by side, sharing the memory."""
    return torch.view_as_real(x).view(-1, 2 * x.shape[-1]).numpy()
