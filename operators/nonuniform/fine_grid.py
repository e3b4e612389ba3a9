"""Non-uniform Fourier transforms on the CPU: FINUFFT spreads and interpolates, PyTorch transforms the grid.

Barnett, Magland and af Klinteberg (2019), A parallel non-uniform fast Fourier transform library based on an
"exponential of semicircle" kernel: values at the points are spread to a finer grid by a kernel of few cells,
the grid is transformed, and its middle frequencies are divided by the transform of the kernel.
"""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import torch

from invgen.core.threads import thread_count
from invgen.operators.toeplitz import fast_length

__all__ = ["ACCURACY", "SIGN", "FineGrid"]

#: Relative accuracy requested of FINUFFT. The error against the direct sum is below 1e-4 and 1e-10.
ACCURACY = {torch.complex64: 1e-5, torch.complex128: 1e-12}

#: Of the exponent, by FINUFFT's number of the transform.
SIGN = {1: 1, 2: -1}

#: Number of points from which on their spreading takes longer than starting threads.
_MANY = 1 << 17

#: Bytes of fine grids that are worked on together.
_GRIDS = 1 << 24

#: Samples of the kernel in a cell, by which its transform is integrated, and most cells from its middle.
_SAMPLES, _REACH = 32, 8


class FineGrid:
    """Values at points to an image, type 1, or an image to values, type 2; see `invgen.operators.nufft`.

    Any number of threads gives the same bits. One call at a time: it holds scratch memory.

    Parameters
    ----------
    kind : {1, 2}
    shape : tuple of int
        Of the image.
    points : tensor, shape (len(shape), M)
        Frequencies in radians per pixel, in the precision of the data.
    dtype : torch.complex64 or torch.complex128
    """

    def __init__(self, kind: int, shape: tuple[int, ...], points: torch.Tensor, dtype: torch.dtype) -> None:
        # the small grid is the fast one, and accurate enough for images in single precision; of volumes it
        # magnifies rounding at each of three axes, and saves no time
        finer = 1.4 if dtype == torch.complex64 and len(shape) == 2 else 2.0
        self._kind = kind
        self._fine = tuple(max(4 * _REACH, 2 * fast_length(math.ceil(finer * n / 2))) for n in shape)
        self._factor = _deconvolution(shape, self._fine, dtype, finer).to(dtype)
        # Several threads of FINUFFT add their parts to one grid in the order in which they finish, and the
        # rounding of the sum depends on it. So of images each half of the points has a thread and a grid of
        # its own; of volumes, whose grids are large, one thread spreads all.
        parts = points.chunk(2 if kind == 1 and len(shape) == 2 else 1, dim=1)
        self._counts = [part.shape[1] for part in parts]
        threads = 1 if kind == 1 else thread_count()
        self._parts = [_plan(kind, self._fine, part, dtype, finer, threads) for part in parts]
        bytes_of_one = math.prod(self._fine) * self._factor.element_size()
        self._together = max(1, _GRIDS // bytes_of_one)
        # kept, since memory that is new is slow; of volumes it would be much
        self._kept: list[list[torch.Tensor]] | None = [] if len(shape) == 2 else None
        # frequency k of the image is entry k of the transform, counted from the end where it is negative
        places = (
            (
                (slice(n // 2, None), slice(0, n - n // 2)),
                (slice(0, n // 2), slice(fine - n // 2, None)),
            )
            for n, fine in zip(shape, self._fine, strict=True)
        )
        self._quadrants = [tuple(zip(*place, strict=True)) for place in itertools.product(*places)]

    def __call__(self, data: torch.Tensor, out: torch.Tensor) -> None:
        """Write the transforms of arrays to others, (n, ...).

        Each is transformed by itself, so that it has the same bits whatever comes with it. But FINUFFT is at
        work for many of them, and then PyTorch: where both go by turns, the threads of one wait in a loop for
        their next work, and keep cores from those of the other.
        """
        transform = self._adjoint if self._kind == 1 else self._forward
        for some, there in zip(data.split(self._together), out.split(self._together), strict=True):
            transform(some, there)

    def _forward(self, images: torch.Tensor, values: torch.Tensor) -> None:
        ((spectrum,),) = self._grids(1)
        found = []
        for image in images:
            for own, there in self._quadrants:  # zero beyond these
                torch.mul(image[own], self._factor[own], out=spectrum[there])
            found.append(torch.fft.fftn(spectrum))
        for grid, out in zip(found, values, strict=True):
            self._parts[0].execute(grid.numpy(), out=out.numpy())

    def _adjoint(self, values: torch.Tensor, images: torch.Tensor) -> None:
        grids = self._grids(len(values))
        self._spread(values, grids)
        for parts, image in zip(grids, images, strict=True):
            spectrum = torch.fft.ifftn(reduce(torch.Tensor.add_, parts), norm="forward")
            for own, there in self._quadrants:
                torch.mul(spectrum[there], self._factor[own], out=image[own])

    def _grids(self, count: int) -> list[list[torch.Tensor]]:
        """Those of so many arrays, one for each part of the points; new ones are zero."""
        grids = [] if self._kept is None else self._kept
        while len(grids) < count:
            grids.append([torch.zeros(self._fine, dtype=self._factor.dtype) for _ in self._parts])
        return grids[:count]

    def _spread(self, values: torch.Tensor, grids: list[list[torch.Tensor]]) -> None:
        """Spread each part of all arrays, one part on a thread."""

        def spread(part: int) -> None:
            first = sum(self._counts[:part])
            for one, parts in zip(values, grids, strict=True):
                own = one[first : first + self._counts[part]]
                self._parts[part].execute(own.numpy(), out=parts[part].numpy())

        if len(self._parts) > 1 and values.shape[1] > _MANY and thread_count() > 1:
            with ThreadPoolExecutor(len(self._parts)) as threads:
                list(threads.map(spread, range(len(self._parts))))
        else:
            for part in range(len(self._parts)):
                spread(part)


def _plan(
    kind: int,
    grid: tuple[int, ...],
    points: torch.Tensor,
    dtype: torch.dtype,
    finer: float,
    threads: int = 1,
) -> Any:
    """FINUFFT's plan to spread to a grid, or to interpolate on it."""
    import finufft

    name = str(dtype).removeprefix("torch.")
    plan = finufft.Plan(
        kind,
        grid,
        1,
        ACCURACY[dtype],
        SIGN[kind],
        name,
        nthreads=threads,
        upsampfac=finer,
        spreadinterponly=1,
    )
    plan.setpts(*points.contiguous().numpy())
    return plan


def _deconvolution(
    shape: tuple[int, ...], grid: tuple[int, ...], dtype: torch.dtype, finer: float
) -> torch.Tensor:
    """One over the kernel's transform, float64 of the image's shape, for a grid whose origin is its middle.

    The kernel is the product of one function of cells for each axis. It is seen by interpolation of a grid
    that is zero but in its middle.
    """
    cells = torch.arange(-_REACH * _SAMPLES, _REACH * _SAMPLES + 1, dtype=torch.float64) / _SAMPLES
    size, axes = 4 * _REACH, len(shape)
    points = torch.zeros(axes, len(cells), dtype=dtype.to_real())
    points[0] = cells * (2 * math.pi / size)
    one = torch.zeros((size,) * axes, dtype=dtype)
    one[(size // 2,) * axes] = 1
    seen = torch.empty(len(cells), dtype=dtype)
    _plan(2, one.shape, points, dtype, finer).execute(one.numpy(), out=seen.numpy())
    values = seen.real.double()
    middle = values[_REACH * _SAMPLES]
    factor = 1 / middle
    for n, fine in zip(shape, grid, strict=True):
        k = torch.arange(-(n // 2), n - n // 2, dtype=torch.float64)
        transform = (2 * math.pi / fine * k[:, None] * cells).cos() @ (values / middle) / _SAMPLES
        factor = factor[..., None] * ((1 - 2 * (k % 2)) / transform)
    return factor
