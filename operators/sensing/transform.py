"""Random rows of a fast orthonormal transform."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.mri.fourier import Fourier
from invgen.operators.transforms.cosine import DCT
from invgen.operators.transforms.hadamard import Hadamard
from invgen.operators.transforms.unitary import Unitary

__all__ = ["SubsampledTransform"]


class SubsampledTransform(LinearOperator):
    """Random coefficients of an image with random signs: ``y = (T (d * x))[rows]``.

    Compressed sensing without a matrix. T is orthonormal over all axes and d is +-1, so that the rows are
    orthonormal, ``A A.H = 1``. All singular values are one, `gram` is a projection, `pinv` is ``A.H``, and
    `solve` is a formula. Multiply by ``sqrt(n / m)`` for the scale of `GaussianMatrix`.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images; the transform runs over all axes.
    m : int, optional
        Number of measurements; the range is ``(m,)``. Rows are drawn without replacement.
    transform : {"dct", "hadamard", "fourier"}
        `DCT`, `Hadamard` in natural order (sizes are powers of two), or `Fourier` (complex images).
    signs : bool
        Draw random signs d, so that any basis is incoherent with the rows; else d is one.
    seed : int
    field : {"real", "complex"}
    rows : int64 tensor, optional
        Instead of `m`: the coefficients to measure, numbered in row-major order.

    Raises
    ------
    ParameterError
        If `m` and `rows` are both given or neither, do not fit the image, or the transform is unknown or
        needs complex images.
    ShapeError
        If a size is no power of two, for Hadamard.

    References
    ----------
    Do, Gan, Nguyen and Tran (2012), Fast and efficient compressive sensing using structurally random
    matrices, section II: the product D F R, R being the local randomizer.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        m: int | None = None,
        transform: str = "dct",
        signs: bool = True,
        seed: int = 0,
        field: str = "real",
        rows: Any = None,
    ) -> None:
        domain = Space(shape, field)
        generator = torch.Generator().manual_seed(seed)
        if (m is None) == (rows is None):
            raise ParameterError("SubsampledTransform takes either m, the number of measurements, or rows.")
        if m is not None:
            if not is_count(m, domain.size):
                raise ParameterError(
                    f"SubsampledTransform: m is from 1 to the {domain.size} pixels of the image; got {m}."
                )
            # sorted, for access in the order of memory
            rows = torch.randperm(domain.size, generator=generator)[: int(m)].sort().values
        rows = _checked_rows(rows, domain)
        super().__init__(domain, Space((len(rows),), field))
        self._transform, self._rows = _transform(transform, domain), Constant(rows)
        self._signs = None
        if signs:
            coins = torch.randint(2, domain.shape, generator=generator)
            self._signs = Constant(2.0 * coins - 1)

    @property
    def rows(self) -> torch.Tensor:
        """The coefficients that are measured, int64."""
        return self._rows.value.clone()

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        if self._signs is not None:
            x = self._signs.like(x) * x
        y = self._transform._apply(x).flatten(-self.domain.ndim)
        return y.index_select(-1, self._rows.like(x))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        x = y.new_zeros(*y.shape[:-1], self.domain.size).index_copy_(-1, self._rows.like(y), y)
        x = self._transform._adjoint(x.reshape(*y.shape[:-1], *self.domain.shape))
        return x if self._signs is None else x.mul_(self._signs.like(y))

    def _norm(self) -> float:
        return 1.0

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        measured = self._adjoint(self._apply(b))
        # without a shift what is not measured is undetermined, and zero the solution of smallest norm
        shift = torch.as_tensor(shift, dtype=b.dtype.to_real(), device=b.device)
        unmeasured = (b - measured) * torch.where(shift > 0, 1 / shift, 0)
        return unmeasured.add_(measured / (1 + shift))

    def _svd(self) -> SVD:
        """All singular values are one."""
        m = self.range.shape
        return SVD(Identity(m, self.range.field), torch.ones(m), self.H)


def _transform(name: str, space: Space) -> Unitary | Fourier:
    if name == "dct":
        return DCT(space.shape, space.field)
    if name == "hadamard":
        return Hadamard(space.shape, field=space.field)
    if name != "fourier":
        raise ParameterError(f"transform is 'dct', 'hadamard' or 'fourier'; got {name!r}.")
    if space.field != "complex":
        raise ParameterError(
            "The Fourier transform is for complex images: give field='complex', or for real images "
            "transform='dct'."
        )
    return Fourier(space.shape)


def _checked_rows(rows: Any, space: Space) -> torch.Tensor:
    rows = torch.as_tensor(rows)
    if rows.ndim != 1 or not len(rows) or rows.is_floating_point() or rows.is_complex():
        raise ParameterError(
            f"rows is a vector of whole numbers; got {rows.dtype} of shape {tuple(rows.shape)}."
        )
    rows = rows.long()
    if int(rows.min()) < 0 or int(rows.max()) >= space.size:
        raise ParameterError(f"rows are from 0 to {space.size - 1} for images of shape {space.shape}.")
    if len(rows.unique()) != len(rows):
        raise ParameterError("rows has a coefficient twice; each can be measured once.")
    return rows
