"""Cartesian magnetic resonance imaging."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch

from invgen.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators.base import SVD, LinearOperator
from invgen.operators.basic import Identity
from invgen.operators.frozen import Constant
from invgen.operators.mri.fourier import Fourier, centering, each_alone
from invgen.operators.space import Space

__all__ = ["MRI"]

#: Fraction of sampled lines up to which it pays to transform them alone: taking them out costs, too.
_SPARSE = 0.7


class MRI(LinearOperator):
    """Cartesian MRI: complex images to k-space, ``y_c = mask * F(coils_c * x)``.

    F is the centred, unitary transform `Fourier`: the origin of k-space is the entry ``N // 2`` of each axis.
    k-space is zero where it is not sampled. Images are (H, W) or (D, H, W).

    Parameters
    ----------
    image_shape : (int, int) or (int, int, int)
    mask : bool or float tensor that broadcasts to the image shape
        What is sampled, or with which weight: ``(W,)`` for lines along H as in fastMRI, ``(H, 1)`` for lines
        along W, ``(H, W)`` for points. See `invgen.operators.mri.sampling`.
    coils : complex tensor, shape (coils, *image_shape), optional
        Sensitivity of each coil; k-space is then ``(coils, *image_shape)``. Without it there is one coil,
        equally sensitive everywhere, and k-space has the image's shape.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For masks and coils that do not fit the image or are not finite, and a mask that samples nothing.

    Notes
    -----
    Where the mask is the same all along some axes (lines), those axes are transformed for the sampled lines
    only, and do not enter ``gram`` at all.

    References
    ----------
    Pruessmann et al. (1999), SENSE: sensitivity encoding for fast MRI.
    """

    def __init__(self, image_shape: tuple[int, ...], mask: Any, coils: Any = None) -> None:
        shape = tuple(int(n) for n in image_shape)
        if len(shape) not in (2, 3):
            raise ShapeError(f"MRI images are (H, W) or (D, H, W); got image_shape={shape}.")
        mask = _checked_mask(mask, shape)
        maps = None if coils is None else _checked_coils(coils, shape)
        domain = Space(shape, "complex")
        super().__init__(domain, domain if maps is None else Space((len(maps), *shape), "complex"))
        #: Number of coils, or None for a single one without a map.
        self.coil_count = None if maps is None else len(maps)
        self._mask, self._maps = Constant(mask), None if maps is None else Constant(maps)
        before, after = centering(shape, domain.axes)
        self._before = Constant(before if maps is None else maps * before)
        self._varying = tuple(a for a in domain.axes if bool((mask != mask.narrow(a, 0, 1)).any()))
        self._lines = _Lines.of(mask, self._varying)
        after = after * mask
        self._after = Constant(after if self._lines is None else self._lines.take(after))

    @property
    def mask(self) -> torch.Tensor:
        """Weight of each sample, float64, of the image's shape."""
        return self._mask.value.clone()

    @property
    def coils(self) -> torch.Tensor | None:
        """Sensitivity maps as given, or None."""
        return None if self._maps is None else self._maps.value.clone()

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backward, y, self.range)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self._spread(x, self._before)
        if self._lines is None:
            return torch.fft.fftn(y, dim=self.domain.axes, norm="ortho").mul_(self._after.like(x))
        y = self._lines.take(torch.fft.fftn(y, dim=self._varying, norm="ortho"))
        if self._lines.along:
            y = torch.fft.fftn(y, dim=self._lines.along, norm="ortho")
        return self._lines.put(y.mul_(self._after.like(x)))

    def _backward(self, y: torch.Tensor) -> torch.Tensor:
        after = self._after.like(y).conj()
        if self._lines is None:
            x = torch.fft.ifftn(after * y, dim=self.domain.axes, norm="ortho")
        else:
            x = self._lines.take(y).mul_(after)
            if self._lines.along:
                x = torch.fft.ifftn(x, dim=self._lines.along, norm="ortho")
            x = torch.fft.ifftn(self._lines.put(x), dim=self._varying, norm="ortho")
        return self._combine(x, self._before)

    def _spread(self, x: torch.Tensor, maps: Constant) -> torch.Tensor:
        """The image as each coil sees it."""
        if self.coil_count is not None:
            x = x.unsqueeze(-1 - len(self.domain.shape))
        return maps.like(x) * x

    def _combine(self, x: torch.Tensor, maps: Constant) -> torch.Tensor:
        """Adjoint of `_spread`."""
        if self.coil_count is None:
            return x.mul_(maps.like(x).conj())
        return torch.linalg.vecdot(maps.like(x), x, dim=-1 - len(self.domain.shape))

    def _gram(self) -> LinearOperator:
        return _Gram(self)

    def _norm(self) -> float:
        return float(self._mask.value.max()) if self._maps is None else super()._norm()

    @cached_property
    def _power(self) -> Constant:
        """Squared mask in the order of ``torch.fft``, of length one along axes that do not matter."""
        power = self._mask.value.square()
        for axis in set(self.domain.axes) - set(self._varying):
            power = power.narrow(axis, 0, 1)
        return Constant(torch.fft.ifftshift(power, dim=self.domain.axes))

    def _filter(self, x: torch.Tensor, symbol: torch.Tensor) -> torch.Tensor:
        """Multiply in k-space; the transforms of axes on which the symbol does not depend cancel.

        Not centred: the convolution that this is does not care where the origin lies.
        """
        if not self._varying:
            return x.mul_(symbol)
        z = torch.fft.fftn(x, dim=self._varying, norm="ortho").mul_(symbol)
        return torch.fft.ifftn(z, dim=self._varying, norm="ortho")

    @property
    def has_closed_form_solve(self) -> bool:
        """For a single coil without a map."""
        return self._maps is None

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        symbol = self._power.like(b) + shift
        # without a shift, the solution of smallest norm is zero where nothing is sampled
        inverse = torch.where(symbol > 0, 1 / symbol, 0)
        flat, batch = self.domain.flatten(b)
        inverses = inverse.expand(*batch, *inverse.shape[-len(self.domain.shape) :])
        inverses = inverses.reshape(-1, *inverse.shape[-len(self.domain.shape) :])
        if b.is_cuda:
            return self._filter(flat.clone(), inverses).reshape(b.shape)
        # one by one, as in `each_alone`
        results = [self._filter(x.clone(), s) for x, s in zip(flat.contiguous(), inverses, strict=True)]
        return torch.stack(results).reshape(b.shape)

    @property
    def svd(self) -> SVD | None:
        """Of a single coil without a map: the transform, and the mask."""
        if self._maps is not None:
            return None
        shape = self.domain.shape
        return SVD(Identity(shape, "complex"), self.mask, Fourier(shape).H)


class _Gram(LinearOperator):
    """``A.H A``: each coil's image is convolved with the mask's point spread."""

    def __init__(self, operator: MRI) -> None:
        super().__init__(operator.domain, operator.domain)
        self._operator = operator

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._convolve, x, self.domain)

    _adjoint = _apply

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        A = self._operator
        symbol = A._power.like(x)
        if A._maps is None:
            return A._filter(x.clone(), symbol)
        return A._combine(A._filter(A._spread(x, A._maps), symbol), A._maps)

    def _norm(self) -> float:
        return self._operator.norm() ** 2


class _Lines:
    """The sampled lines of k-space: where the mask is not zero, across the axes on which it depends.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    varying : tuple of negative int
        Neighbouring axes on which the mask depends; lines run along the others.
    index : int64 tensor
        Sampled positions on the flattened varying axes.
    """

    def __init__(self, shape: tuple[int, ...], varying: tuple[int, ...], index: torch.Tensor) -> None:
        self._sizes = tuple(shape[a] for a in varying)
        self._first, self._last = varying[0], varying[-1]
        self._index = Constant(index)
        # the varying axes become one
        self._axis = self._last
        outer = len(shape) + varying[0]
        #: Axes that remain to be transformed, once the lines are taken out.
        self.along = (*range(self._axis - outer, self._axis), *range(self._axis + 1, 0))

    @classmethod
    def of(cls, mask: torch.Tensor, varying: tuple[int, ...]) -> _Lines | None:
        """The lines of a mask, or None where it has none or they are too many to be worth it."""
        lines = tuple(a for a in range(-mask.ndim, 0) if a not in varying)
        together = bool(varying) and varying[-1] - varying[0] == len(varying) - 1
        if not lines or not together:
            return None
        across = mask.amax(dim=lines).flatten()
        index = across.nonzero().flatten()
        return cls(tuple(mask.shape), varying, index) if len(index) <= _SPARSE * len(across) else None

    def take(self, y: torch.Tensor) -> torch.Tensor:
        """The lines alone, in new memory."""
        return y.flatten(self._first, self._last).index_select(self._axis, self._index.like(y))

    def put(self, lines: torch.Tensor) -> torch.Tensor:
        """Adjoint of `take`: the lines in their places, zero elsewhere."""
        shape = list(lines.shape)
        shape[self._axis] = math.prod(self._sizes)
        y = lines.new_zeros(shape).index_copy_(self._axis, self._index.like(lines), lines)
        return y.unflatten(self._axis, self._sizes)


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """The mask as float64, of the image's shape."""
    mask = torch.as_tensor(mask)
    if mask.is_complex():
        raise DtypeError("MRI expects a mask of bool or real numbers; got complex ones.")
    own = tuple(mask.shape)
    if len(own) > len(shape) or any(a not in (1, b) for a, b in zip(own[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"MRI expects a mask that broadcasts to the image shape {shape}; got {own}. "
            f"For lines give ({shape[-1]},), for points {shape}."
        )
    mask = mask.double()
    if not bool(torch.isfinite(mask).all()) or bool((mask < 0).any()):
        raise DataError("MRI expects a mask of finite weights that are not negative.")
    if not bool(mask.any()):
        raise ParameterError("The mask samples nothing: it is zero everywhere.")
    return mask.expand(shape).contiguous()


def _checked_coils(coils: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """The maps as complex numbers."""
    maps = torch.as_tensor(coils)
    if tuple(maps.shape[1:]) != shape or not maps.numel():
        sizes = ", ".join(["coils", *map(str, shape)])
        raise ShapeError(f"MRI expects coil maps of shape ({sizes}); got {tuple(maps.shape)}.")
    if not maps.is_complex():
        maps = maps.to(maps.dtype.to_complex() if maps.is_floating_point() else torch.complex128)
    if not bool(torch.isfinite(torch.view_as_real(maps)).all()):
        raise DataError("MRI expects finite coil maps; these hold NaN or infinite values.")
    return maps
