"""The Walsh-Hadamard transform."""

from __future__ import annotations

import math

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.operators.transforms.unitary import Unitary

__all__ = ["Hadamard", "hadamard_sums", "sequency", "sequency_rows"]


class Hadamard(Unitary):
    """Orthonormal Walsh-Hadamard transform over all axes: its rows are patterns of ``+-1 / sqrt(n)``.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images, each size a power of two.
    order : {"natural", "sequency"}
        Of the rows along each axis: as ``scipy.linalg.hadamard`` has them, where the transform of an image is
        that of its flattened pixels; or by their number of changes of sign (Walsh's order), as frequencies.
    field : {"real", "complex"}

    Raises
    ------
    ShapeError
        If a size is no power of two.
    ParameterError
        If the order is unknown.
    """

    def __init__(self, shape: tuple[int, ...], order: str = "natural", field: str = "real") -> None:
        super().__init__(shape, field)
        if order not in ("natural", "sequency"):
            raise ParameterError(f"Hadamard: order is 'natural' or 'sequency'; got {order!r}.")
        rows = sequency_rows(self.domain.shape)  # refuses other sizes, in either order
        self._rows = Constant(rows) if order == "sequency" else None
        self._places = Constant(rows.argsort()) if order == "sequency" else None

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        y = self._transform(x.flatten(-self.domain.ndim))
        if self._rows is not None:
            y = y.index_select(-1, self._rows.like(x))
        return y.reshape(x.shape)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        x = y.flatten(-self.domain.ndim)
        if self._places is not None:
            x = x.index_select(-1, self._places.like(y))
        return self._transform(x).reshape(y.shape)

    def _transform(self, x: torch.Tensor) -> torch.Tensor:
        return hadamard_sums(x).mul_(self.domain.size**-0.5)


def hadamard_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums and differences ``H x`` along the last axis, a power of two; H of +-1 in natural order.

    By log2(n) passes of butterflies, in new memory. They are elementwise: a batch equals its elements to the
    bit, and integers are exact.
    """
    n = x.shape[-1]
    # H is a Kronecker product: of rows and of columns of a square, whose butterflies are contiguous in memory
    columns = 2 ** (n.bit_length() // 2)
    square = x.reshape(-1, n // columns, columns)
    square = _butterflies(square).transpose(-1, -2).contiguous()
    return _butterflies(square).transpose(-1, -2).reshape(x.shape).contiguous()


def _butterflies(x: torch.Tensor) -> torch.Tensor:
    """``H x`` along the middle axis of (batch, n, inner), in memory of its own."""
    batch, n, inner = x.shape
    buffers = (torch.empty_like(x, memory_format=torch.contiguous_format), torch.empty_like(x))
    if n == 1:
        return buffers[0].copy_(x)
    for level in range(n.bit_length() - 1):
        shape = (batch, n >> (level + 1), 2, 2**level * inner)
        first, second = x.reshape(shape).unbind(2)
        out = buffers[level % 2]
        torch.add(first, second, out=out.view(shape)[:, :, 0])
        torch.sub(first, second, out=out.view(shape)[:, :, 1])
        x = out
    return x


def sequency(n: int) -> torch.Tensor:
    """Natural row of the Walsh function with 0, 1, ..., n - 1 changes of sign: Gray code, bits reversed.

    Parameters
    ----------
    n : int
        A power of two.
    """
    k = torch.arange(n)
    gray = k ^ (k >> 1)
    rows = torch.zeros_like(k)
    for bit in range(n.bit_length() - 1):
        rows = (rows << 1) | ((gray >> bit) & 1)
    return rows


def sequency_rows(shape: tuple[int, ...]) -> torch.Tensor:
    """For each sequency along each axis, in row-major order, the natural row of the flattened image."""
    if any(n & (n - 1) for n in shape):
        raise ShapeError(
            f"The Hadamard transform needs sizes that are powers of two; got {tuple(shape)}. Pad the image "
            f"to {tuple(2 ** math.ceil(math.log2(n)) for n in shape)}, or use the cosine transform."
        )
    rows = torch.zeros((), dtype=torch.int64)
    for n in shape:
        rows = rows[..., None] * n + sequency(n)
    return rows.flatten()
