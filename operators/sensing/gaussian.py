"""Random projections by a dense matrix."""

from __future__ import annotations

import math

import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.core.space import Space
from invgen.operators.basic import MatrixOperator

__all__ = ["GaussianMatrix"]

#: Entries of the largest matrix: two gigabytes in double precision.
_LARGEST = 2**28


class GaussianMatrix(MatrixOperator):
    """``y = M x`` with independent Gaussian entries of variance ``1 / m``: the matrix of compressed sensing.

    It preserves the norm of an image on average, ``E |M x|^2 = |x|^2`` (Candes and Tao 2006; Donoho 2006).
    For large images use `SubsampledTransform`, from which they are recovered as well, at a cost of n log n.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images, flattened in row-major order.
    m : int
        Number of measurements; the range is ``(m,)``.
    seed : int
        Entries are drawn in double precision: the same in every precision and on every device.
    field : {"real", "complex"}
        Of matrix, images and data; complex entries have ``E |M_ij|^2 = 1 / m``.

    Raises
    ------
    ParameterError
        If m is not a positive integer, or the matrix has more than 2^28 entries.
    """

    def __init__(self, shape: tuple[int, ...], m: int, seed: int, field: str = "real") -> None:
        space = Space(shape, field)
        if not is_count(m):
            raise ParameterError(f"GaussianMatrix: m must be a positive number of measurements; got {m}.")
        if m * space.size > _LARGEST:
            raise ParameterError(
                f"GaussianMatrix: {m} x {space.size} entries are {8 * m * space.size / 2**30:.0f} GiB; the "
                f"largest is 2 GiB. Use SubsampledTransform({space.shape}, {m}), which needs no matrix."
            )
        generator = torch.Generator().manual_seed(seed)
        dtype = torch.float64 if field == "real" else torch.complex128
        matrix = torch.randn(m, space.size, generator=generator, dtype=dtype)
        super().__init__(matrix.div_(math.sqrt(m)), space.shape)
