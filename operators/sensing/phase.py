"""Magnitudes of Fourier transforms: phase retrieval."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.batching import each_alone
from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.base import Operator
from invgen.operators.linear import LinearOperator
from invgen.operators.mri.fourier import modulation

__all__ = ["PhaseRetrieval", "random_codes"]


class PhaseRetrieval(Operator):
    """Coded diffraction: ``y_j = |F (d_j * x)|``, or its square, the intensity.

    F is the unitary Fourier transform with the origin in the middle, ``N // 2``, as in `Fourier`. Images that
    differ by a global phase (real images: a sign) have the same measurement.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images.
    codes : real or complex tensor, shape (codes, *image_shape), optional
        Modulation of the wave in each exposure, see `random_codes`; by default a single exposure without one.
    oversampling : int
        The image is padded by zeros to this multiple of its size. From 2 on, the magnitudes of a single
        exposure without codes determine an image (Miao, Sayre and Chapman 1998).
    squared : bool
        Measure ``|z|^2``, which is smooth, rather than ``|z|``, whose derivative at zero is defined as zero.
    field : {"real", "complex"}
        Field of the images; the range is real, ``(codes, *oversampling * image_shape)``.

    Raises
    ------
    ShapeError, ParameterError
        If the codes do not fit the image or are not finite, or the oversampling is not a positive integer.

    References
    ----------
    Candes, Li and Soltanolkotabi (2015), Phase retrieval from coded diffraction patterns.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        codes: Any = None,
        oversampling: int = 1,
        squared: bool = False,
        field: str = "complex",
    ) -> None:
        domain = Space(image_shape, field)
        codes = torch.ones(1, *domain.shape) if codes is None else torch.as_tensor(codes).detach().cpu()
        if tuple(codes.shape[1:]) != domain.shape or not codes.numel():
            sizes = ", ".join(["codes", *map(str, domain.shape)])
            raise ShapeError(f"PhaseRetrieval expects codes of shape ({sizes}); got {tuple(codes.shape)}.")
        if not bool(torch.isfinite(codes).all()):
            raise ParameterError("PhaseRetrieval expects finite codes; these hold NaN or infinite values.")
        oversampling = as_count(oversampling, "PhaseRetrieval: oversampling")
        self._waves = _CodedTransform(domain, codes, tuple(oversampling * n for n in domain.shape))
        super().__init__(domain, self._waves.range.shape)
        self._squared = bool(squared)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        size = self._waves._call(x).abs()
        return size.square() if self._squared else size

    def jvp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Derivative in the direction `v`: ``Re(conj(p) F (d * v))`` with ``p = z / |z|``, or ``2 z``."""
        self.domain.check(x, self.name)
        self.domain.check(v, self.name)
        return (self._slope(x).conj() * self._waves._call(v)).real

    def vjp(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Adjoint of the derivative: ``sum_j conj(d_j) F.H (p w)``, its real part for real images."""
        self.domain.check(x, self.name)
        self.range.check(w, self.name)
        return self._waves.H._call(self._slope(x) * w)

    def _slope(self, x: torch.Tensor) -> torch.Tensor:
        z = self._waves._call(x)
        return 2 * z if self._squared else z.sgn()


class _CodedTransform(LinearOperator):
    """The coded transform ``z_j = F (d_j * x)``, of images padded by zeros to a grid."""

    def __init__(self, domain: Space, codes: torch.Tensor, grid: tuple[int, ...]) -> None:
        super().__init__(domain, Space((len(codes), *grid), "complex"))
        self._grid = grid
        # magnitudes do not depend on the phases that centre the image, only on those that centre the pattern
        before = modulation(grid, domain.axes)[tuple(slice(n) for n in domain.shape)]
        self._codes = Constant(codes.to(torch.complex128) * before)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain.ndim)

    def _adjoint(self, z: torch.Tensor) -> torch.Tensor:
        x = each_alone(self._backward, z, self.range.ndim)
        return x if self.domain.field == "complex" else x.real.contiguous()

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        coded = self._codes.like(x) * x[:, None]
        return torch.fft.fftn(coded, s=self._grid, dim=self.domain.axes, norm="ortho")

    def _backward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.fft.ifftn(z, dim=self.domain.axes, norm="ortho")
        x = x[(..., *(slice(n) for n in self.domain.shape))]
        return (self._codes.like(z).conj() * x).sum(1)


def random_codes(count: int, shape: tuple[int, ...], seed: int, kind: str = "octanary") -> torch.Tensor:
    """Independent random modulations of each pixel, of mean zero and mean square one.

    Parameters
    ----------
    count : int
        Number of exposures: 6 to 12 typically determine an image up to its global phase.
    shape : tuple of int
        Of the images.
    seed : int
    kind : {"octanary", "phase"}
        Products of one of ``1, -1, i, -i`` and of ``sqrt(1/2)`` (four times in five) or ``sqrt(3)``, as in
        the paper of `PhaseRetrieval`; or ``exp(2 pi i u)`` with u uniform, which absorbs no light.

    Returns
    -------
    complex128 tensor, shape (count, *shape)
    """
    if kind not in ("octanary", "phase"):
        raise ParameterError(f"random_codes: kind is 'octanary' or 'phase'; got {kind!r}.")
    count = as_count(count, "random_codes: count")
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(2, count, *shape, generator=generator, dtype=torch.float64)
    if kind == "phase":
        return torch.polar(torch.ones_like(u[0]), 2 * math.pi * u[0])
    corners = torch.tensor([1, 1j, -1, -1j], dtype=torch.complex128)
    return corners[(4 * u[0]).long()] * torch.where(u[1] < 0.8, 0.5**0.5, 3**0.5)
