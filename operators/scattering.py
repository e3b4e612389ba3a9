"""Linear inverse scattering: fields that a weak object scatters, from each transmitter to each receiver."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.special import hankel1

from invgen.core.batching import each_alone
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Space, as_shape
from invgen.operators.basic import LARGEST_SVD, MatrixOperator
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["LinearScattering", "cylindrical_waves"]


class LinearScattering(LinearOperator):
    """``y[t, r] = sum_p g[r, p] x[p] u[t, p]``: the first Born approximation.

    Each pixel p of the contrast x is lit by the field u of transmitter t as if there were no object, and what
    it scatters comes to receiver r by the Green's function g (Born and Wolf, Principles of Optics, sec.
    13.1.2). Factors, such as the area of a pixel and the squared wavenumber, are those of u and g. Two
    products with the fields take the place of a matrix of T R rows.

    Up to a cost of 1e10 of its decomposition, `svd` is known and `solve` is a closed form.

    Parameters
    ----------
    incident : complex tensor, shape (T, *image)
        Field of each transmitter at the pixels, such as `cylindrical_waves`.
    receivers : complex tensor, shape (R, *image)
        Green's function from the pixels to each receiver.
    field : {"real", "complex"}
        Of the contrast; the data, shape (T, R), are complex.

    Raises
    ------
    ShapeError
        If the fields are not of images of the same shape.
    """

    def __init__(self, incident: Any, receivers: Any, field: str = "real") -> None:
        u, g = (_as_fields(given) for given in (incident, receivers))
        if u.ndim < 2 or u.shape[1:] != g.shape[1:]:
            raise ShapeError(
                "LinearScattering expects fields (T, *image) and (R, *image) of images of one shape; got "
                f"{tuple(u.shape)} and {tuple(g.shape)}."
            )
        super().__init__(Space(tuple(u.shape[1:]), field), Space((len(u), len(g)), "complex"))
        self._incident, self._receivers = Constant(u.flatten(1)), Constant(g.flatten(1))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backward, y, 2)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1)[:, None] * self._incident.like(x)) @ self._receivers.like(x).mT

    def _backward(self, y: torch.Tensor) -> torch.Tensor:
        x = (y @ self._receivers.like(y).conj() * self._incident.like(y).conj()).sum(1)
        return (x.real if self.domain.field == "real" else x).reshape(-1, *self.domain.shape)

    @cached_property
    def _dense(self) -> MatrixOperator | None:
        """The matrix, of real images that of the real and imaginary parts of data; None where it is large."""
        real = self.domain.field == "real"
        m, n = (2 if real else 1) * self.range.size, self.domain.size
        if m * n * min(m, n) > LARGEST_SVD:
            return None
        u, g = (fields.value.to(torch.complex128) for fields in (self._incident, self._receivers))
        matrix = (u[:, None] * g).flatten(0, 1)
        if real:
            matrix = torch.view_as_real(matrix).movedim(-1, 1).flatten(0, 1)
        return MatrixOperator(matrix, self.domain.shape)

    @property
    def has_closed_form_solve(self) -> bool:
        """Through the singular value decomposition, unless that would take minutes."""
        return self._dense is not None

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        assert self._dense is not None
        return self._dense._solve(b, shift)

    def _norm(self) -> float:
        return super()._norm() if self._dense is None else self._dense._norm()

    def _svd(self) -> SVD | None:
        """By LAPACK; None where that would take minutes."""
        found = None if self._dense is None else self._dense.svd
        if found is None:
            return None
        return SVD(_Arranged(self.domain.field, self.range) @ found.U, found.s, found.V)


class _Arranged(LinearOperator):
    """Rows of the dense matrix as data (T, R): complex ones, or the real and imaginary parts in turn."""

    def __init__(self, field: str, data: Space) -> None:
        super().__init__(Space((data.size * (2 if field == "real" else 1),), field), data)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        if self.domain.field == "real":
            x = torch.complex(x[..., ::2], x[..., 1::2])
        return x.clone().reshape(*x.shape[:-1], *self.range.shape)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        flat = y.flatten(-2)
        if self.domain.field == "real":
            return torch.stack([flat.real, flat.imag], dim=-1).flatten(-2)
        return flat.clone()


def cylindrical_waves(
    image_shape: tuple[int, int], pixel_size: float, wavelength: float, sources: Any
) -> torch.Tensor:
    """``i/4 H0(k |p - s|)``, H0 the Hankel function of the first kind: outgoing waves of line sources.

    The Green's function of the Helmholtz equation in the plane, ``(laplace + k^2) G = -delta``, for time
    dependence ``exp(-i omega t)``. It is symmetric: the field at the pixels of a transmitter at s, and from
    the pixels at a receiver at s.

    Parameters
    ----------
    image_shape : (int, int)
    pixel_size, wavelength : positive number
        In one unit of length.
    sources : tensor or array, shape (S, 2)
        Row and column in that unit, from the middle pixel ``N // 2`` of each axis.

    Returns
    -------
    complex128 tensor, shape (S, H, W)

    Raises
    ------
    ShapeError, ParameterError
        For sources of another shape, lengths that are not positive, and a source in the middle of a pixel.
    """
    shape = as_shape(image_shape, "cylindrical_waves")
    places = np.asarray(sources, dtype=np.float64)
    if len(shape) != 2 or places.ndim != 2 or places.shape[1] != 2:
        raise ShapeError(
            "cylindrical_waves expects an image shape (H, W) and sources (S, 2), row and column; got "
            f"{shape} and {places.shape}."
        )
    if not all(length > 0 and math.isfinite(length) for length in (pixel_size, wavelength)):
        raise ParameterError(
            f"pixel_size and wavelength are positive lengths; got {pixel_size} and {wavelength}."
        )
    rows, columns = ((np.arange(n) - n // 2) * pixel_size for n in shape)
    distances = np.hypot(rows[:, None] - places[:, 0, None, None], columns - places[:, 1, None, None])
    if not (distances > 0).all():
        raise ParameterError("A source is in the middle of a pixel, where its field is infinite: move it.")
    return torch.from_numpy(0.25j * hankel1(0, 2 * math.pi / wavelength * distances))


def _as_fields(given: Any) -> torch.Tensor:
    fields = torch.as_tensor(given)
    if fields.is_complex():
        return fields
    return fields.to(fields.dtype.to_complex() if fields.is_floating_point() else torch.complex128)
