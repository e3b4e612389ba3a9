"""Cartesian magnetic resonance imaging."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import torch

from invgen.core.batching import each_alone
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import IMAGE_AXES, Space, broadcasts
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.mri.checks import checked_coils, checked_image_shape
from invgen.operators.mri.fourier import Fourier, modulation
from invgen.operators.mri.grid import radius
from invgen.operators.mri.noise_level import noise_level
from invgen.operators.mri.sensitivities import Sensitivities

__all__ = ["MRI"]


class MRI(LinearOperator):
    """Cartesian MRI: complex images to k-space, ``y_c = mask * F(coils_c * x)``.

    F is the centred, unitary transform `Fourier`: the origin of k-space is the entry ``N // 2`` of each axis.
    k-space is zero where it is not sampled. Images are (H, W) or (D, H, W).

    Parameters
    ----------
    image_shape : (int, int) or (int, int, int)
    mask : bool or float tensor that broadcasts to the image shape
        Weight of each sample, zero where k-space is not sampled: ``(W,)`` for lines along H as in fastMRI,
        ``(H, 1)`` for lines along W, ``(H, W)`` for points. See `invgen.operators.mri.sampling`.
    coils : complex tensor, shape (coils, *image_shape), optional
        Sensitivity of each coil; k-space is then ``(coils, *image_shape)``. Without it there is one coil of
        uniform sensitivity, and k-space has the image's shape.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For masks and coils that do not fit the image or are not finite, and a mask that samples nothing.

    Notes
    -----
    ``gram`` needs no transform along axes on which the mask does not depend, such as that of its lines.
    Forward and adjoint transform the whole grid: extracting the sampled lines costs more than it saves.

    References
    ----------
    Pruessmann et al. (1999), SENSE: sensitivity encoding for fast MRI.
    """

    #: Of 0.01, 0.03, 0.05 and 0.1 one of those with few iterations, on points and lines at an acceleration of
    #: eight: coils mix waves between the samples with those at the samples.
    spectrum_floor: ClassVar[float] = 0.05

    def __init__(self, image_shape: tuple[int, ...], mask: Any, coils: Any = None) -> None:
        shape = checked_image_shape(image_shape, "MRI")
        mask = _checked_mask(mask, shape)
        maps = None if coils is None else checked_coils(coils, shape, "MRI")
        domain = Space(shape, "complex", IMAGE_AXES)
        samples = shape if maps is None else (len(maps), *shape)
        names = (*(() if maps is None else ("coil",)), *("kz", "ky", "kx")[-len(shape) :])
        super().__init__(domain, Space(samples, "complex", names))
        #: Number of coils, or None for a single one without a map.
        self.coil_count = None if maps is None else len(maps)
        self._mask, self._maps = Constant(mask), None if maps is None else Constant(maps)
        self._modulation = Constant(modulation(shape, domain.axes))
        self._coils = None if maps is None else Sensitivities(maps, self._modulation.value)
        self._varying = tuple(a for a in domain.axes if bool((mask != mask.narrow(a, 0, 1)).any()))
        self._weights = None if bool((mask == 1).all()) else Constant(mask.to(torch.complex128))

    @property
    def mask(self) -> torch.Tensor:
        """Weight of each sample, float64, of the image's shape."""
        return self._mask.value.clone()

    @property
    def coils(self) -> torch.Tensor | None:
        """Sensitivity maps as given, or None."""
        return None if self._maps is None else self._maps.value.clone()

    @property
    def observed(self) -> torch.Tensor | None:
        """Where k-space is sampled."""
        return None if bool(self._mask.value.all()) else self._mask.value > 0

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where all coil sensitivities are zero."""
        return x if self._coils is None else self._coils.restrict(x)

    def estimate_noise(self, y: torch.Tensor) -> torch.Tensor | None:
        """From the outermost samples: see `invgen.operators.mri.noise_level`."""
        sampled = self._mask.value > 0
        y = y if self.coil_count is not None else y.unsqueeze(-1 - self.domain.ndim)
        return noise_level(y[..., sampled.to(y.device)], radius(self.domain.shape)[sampled])

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backward, y, self.range.ndim)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        if self._coils is not None:
            return self._coils.forward(x, self._transform)
        x = torch.fft.ifftshift(x, dim=self.domain.axes)
        return self._transform(x.mul_(self._modulation.like(x)))

    def _backward(self, y: torch.Tensor) -> torch.Tensor:
        if self._coils is not None:
            return self._coils.adjoint(y, self._inverse)
        x = self._inverse(y).mul_(self._modulation.like(y).conj())
        return torch.fft.fftshift(x, dim=self.domain.axes)

    def _transform(self, x: torch.Tensor) -> torch.Tensor:
        """Modulated images to masked k-space."""
        y = torch.fft.fftn(x, dim=self.domain.axes, norm="ortho")
        return y if self._weights is None else y.mul_(self._weights.like(y))

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Adjoint of `_transform`."""
        y = y if self._weights is None else y * self._weights.like(y)
        return torch.fft.ifftn(y, dim=self.domain.axes, norm="ortho")

    def norm_bound(self) -> float:
        """``max mask * max sqrt(sum |coils|^2)``, close to it where the middle of k-space is sampled."""
        return float(self._mask.value.max()) * self._strength

    @cached_property
    def _strength(self) -> float:
        if self._maps is None:
            return 1.0
        maps = torch.view_as_real(self._maps.value.to(torch.complex128))
        return float(maps.square().sum((0, -1)).max().sqrt())

    def _gram(self) -> LinearOperator:
        return _Gram(self)

    def _norm(self) -> float:
        return self.norm_bound() if self._maps is None else super()._norm()

    @cached_property
    def _power(self) -> Constant:
        """Squared mask, of length one along axes on which it does not depend."""
        power = self._mask.value.square()
        for axis in set(self.domain.axes) - set(self._varying):
            power = power.narrow(axis, 0, 1)
        # transforms of images that are not modulated have their origin first
        return Constant(power if self._coils else torch.fft.ifftshift(power, dim=self.domain.axes))

    @cached_property
    def spectrum(self) -> Constant:
        """Symbol of the periodic convolution nearest to the gram operator, T. Chan (1988).

        The mean gain of the gram operator for each plane wave: the squared mask, convolved with the power
        spectrum of the maps.
        """
        if self._coils is None:
            return Constant(self._power.value.expand(self.domain.shape))
        axes = self.domain.axes
        power = torch.fft.fftn(self._coils.power() / self.domain.size, dim=axes)
        mask = torch.fft.fftn(self._mask.value.square(), dim=axes)
        return Constant(torch.fft.ifftn(mask * power.conj(), dim=axes).real.clamp(min=0))

    def _filter(self, x: torch.Tensor, symbol: torch.Tensor) -> torch.Tensor:
        """Multiply in k-space; transforms of axes on which the symbol does not depend cancel."""
        if not self._varying:
            return x.mul_(symbol)
        if x.is_cuda:  # where a scaled transform goes through memory once more
            symbol = symbol / math.prod(x.shape[axis] for axis in self._varying)
            z = torch.fft.fftn(x, dim=self._varying).mul_(symbol)
            return torch.fft.ifftn(z, dim=self._varying, norm="forward")
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
        return each_alone(lambda x, s: self._filter(x.clone(), s), b, self.domain.ndim, inverse)

    def _svd(self) -> SVD | None:
        """Of a single coil without a map: the transform, and the mask."""
        if self._maps is not None:
            return None
        shape = self.domain.shape
        return SVD(Identity(shape, "complex"), self.mask, Fourier(shape).H)


class _Gram(LinearOperator):
    """``A.H A``: each coil's image is convolved with the point spread function of the mask."""

    def __init__(self, operator: MRI) -> None:
        super().__init__(operator.domain, operator.domain)
        self._operator = operator

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._convolve, x, self.domain.ndim)

    _adjoint = _apply

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        A = self._operator
        symbol = A._power.like(x)
        if A._coils is None:
            return A._filter(x.clone(), symbol)
        return A._coils.gram(x, lambda image: A._filter(image, symbol))

    def _norm(self) -> float:
        return self._operator.norm() ** 2


def _checked_mask(mask: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """The mask as float64, of the image's shape."""
    mask = torch.as_tensor(mask).detach().cpu()
    if mask.is_complex():
        raise DtypeError("MRI expects a mask of bool or real numbers; got complex ones.")
    if not broadcasts(mask.shape, shape):
        raise ShapeError(
            f"MRI expects a mask that broadcasts to the image shape {shape}; got {tuple(mask.shape)}. "
            f"For lines give ({shape[-1]},), for points {shape}."
        )
    mask = mask.double()
    if not bool(torch.isfinite(mask).all()) or bool((mask < 0).any()):
        raise DataError("MRI expects a mask of finite weights that are not negative.")
    if not bool(mask.any()):
        raise ParameterError("The mask samples nothing: it is zero everywhere.")
    return mask.expand(shape).contiguous()
