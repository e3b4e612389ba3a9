"""Covariances of Gaussian densities, each with the structure that makes it cheap.

One object holds the covariances C of all components of a mixture, or one that they share: images come as
``(..., k, *shape)``, k being the number of components. For complex images C is that of the real and of the
imaginary part, ``E[n n.H] / 2``, as in `invgen.noise.Gaussian`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.operators import Space

__all__ = ["Covariance", "Dense", "Diagonal", "LowRank", "Stationary", "as_covariance"]

#: Rounding of an eigenvalue in single precision, relative to the largest.
_ROUNDING = 1e-5


class Covariance(Frozen):
    """Base of the covariances; `shift` is a tensor that broadcasts to the images, `(..., 1, *shape)`.

    Parameters
    ----------
    space : Space
        Of the images.
    count : int
        Number of covariances: one for each component, or 1 that all share.
    """

    def __init__(self, space: Space, count: int) -> None:
        self.space, self.count = space, count

    def apply(self, r: torch.Tensor) -> torch.Tensor:
        """``C r``."""
        raise NotImplementedError

    def solve(self, r: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """``(C + shift)^-1 r``."""
        raise NotImplementedError

    def logdet(self, shift: torch.Tensor) -> torch.Tensor:
        """``log det(C + shift)``, of the shape of the shift without the images' axes, and (k,)."""
        raise NotImplementedError

    def root(self, z: torch.Tensor) -> torch.Tensor:
        """``S z`` with ``S S.H = C``."""
        raise NotImplementedError

    def traces(self) -> torch.Tensor:
        """Trace of each covariance, the sum of the variances of all pixels, float64, shape (count,)."""
        raise NotImplementedError

    @property
    def singular(self) -> bool:
        """Whether a direction has no variance, so that there is no density without noise."""
        raise NotImplementedError

    def component(self, index: int) -> Covariance:
        """The covariance of one component alone."""
        return self if self.count == 1 else self._component(index)

    def _component(self, index: int) -> Covariance:
        raise NotImplementedError

    def roots(self) -> torch.Tensor:
        """The matrices S of `root`, float64, shape (count, n, n)."""
        n, shape = self.space.size, self.space.shape
        dtype = torch.complex128 if self.space.field == "complex" else torch.float64
        columns = self.root(torch.eye(n, dtype=dtype).reshape(n, 1, *shape).expand(n, self.count, *shape))
        return columns.reshape(n, self.count, n).permute(1, 2, 0)

    def matrices(self) -> torch.Tensor:
        """The covariances as matrices, float64, shape (count, n, n)."""
        S = self.roots()
        return S @ S.mH


class _Diagonalized(Covariance):
    """A covariance that is diagonal in a unitary basis, which a subclass gives."""

    def __init__(self, space: Space, eigenvalues: torch.Tensor) -> None:
        super().__init__(space, len(eigenvalues))
        self.eigenvalues = Constant(eigenvalues.double())

    def _coefficients(self, r: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _image(self, c: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def apply(self, r):
        """Multiply by the eigenvalues."""
        return self._image(self.eigenvalues.like(r) * self._coefficients(r))

    def solve(self, r, shift):
        """Divide by the eigenvalues and the shift."""
        return self._image(self._coefficients(r) / (self.eigenvalues.like(r) + shift))

    def logdet(self, shift):
        """Sum of the logarithms."""
        # eigenvalues may broadcast to the images: each stands for several pixels
        each = torch.log(self.eigenvalues.like(shift) + shift)
        return each.mean(self.space.axes) * self.space.size

    def root(self, z):
        """Multiply by the roots of the eigenvalues."""
        return self._image(self.eigenvalues.like(z).sqrt() * self._coefficients(z))

    def traces(self):
        """Sum of the eigenvalues."""
        each = self.eigenvalues.value
        return (each.mean(self.space.axes) if self.space.shape else each) * self.space.size

    @property
    def singular(self):
        """Whether an eigenvalue is zero."""
        return not bool((self.eigenvalues.value > 0).all())


class Diagonal(_Diagonalized):
    """Independent pixels.

    Parameters
    ----------
    variances : tensor, shape (k, *shape), or one that broadcasts to it
    space : Space

    Raises
    ------
    ParameterError
        Where a variance is negative or not finite.
    """

    def __init__(self, variances: torch.Tensor, space: Space) -> None:
        _check_real(variances, "variances")
        if not bool(((variances >= 0) & torch.isfinite(variances)).all()):
            raise ParameterError("Variances must be finite and not negative.")
        super().__init__(space, variances)

    def _coefficients(self, r):
        return r

    _image = _coefficients

    def _component(self, index):
        return Diagonal(self.eigenvalues.value[index : index + 1], self.space)


class Stationary(_Diagonalized):
    """Invariant under shifts of a periodic image: diagonal in Fourier space, by the Wiener-Khinchin theorem.

    Parameters
    ----------
    spectrum : tensor, shape (*shape) or (k, *shape)
        Variance of each frequency of ``torch.fft.fftn(x, norm="ortho")``, such as
        ``torch.fft.fftn(x, norm="ortho").abs() ** 2``, averaged over images of mean zero.
    space : Space or tuple of int, optional
        Of the images; without it they are real, and the spectrum is that of one covariance.

    Raises
    ------
    ParameterError
        Where the spectrum is negative, not finite, or for real images not even.
    """

    def __init__(self, spectrum: torch.Tensor, space: Any = None) -> None:
        _check_real(spectrum, "spectrum")
        if space is None:
            space = tuple(spectrum.shape)
        space = space if isinstance(space, Space) else Space(tuple(space))
        if spectrum.ndim == len(space.shape):
            spectrum = spectrum[None]
        if spectrum.shape[1:] != space.shape:
            raise ShapeError(f"spectrum has the images' shape {space.shape}; got {tuple(spectrum.shape)}.")
        if not bool(((spectrum >= 0) & torch.isfinite(spectrum)).all()):
            raise ParameterError("A power spectrum is finite and not negative.")
        mirrored = torch.roll(spectrum.flip(space.axes), (1,) * len(space.shape), space.axes)
        if space.field == "real":
            if not bool(((spectrum - mirrored).abs() <= _ROUNDING * spectrum.amax()).all()):
                raise ParameterError("The power spectrum of real images is even: S(-k) = S(k).")
            spectrum = (spectrum + mirrored) / 2
        super().__init__(space, spectrum)

    def _coefficients(self, r):
        if not r.numel():  # which transforms refuse
            return r
        return torch.fft.fftn(r, dim=self.space.axes, norm="ortho")

    def _image(self, c):
        r = torch.fft.ifftn(c, dim=self.space.axes, norm="ortho") if c.numel() else c
        return r if self.space.field == "complex" else r.real

    def _component(self, index):
        return Stationary(self.eigenvalues.value[index : index + 1], self.space)


class Dense(_Diagonalized):
    """Any covariances, diagonalized once.

    Parameters
    ----------
    matrices : Hermitian positive semi-definite tensor, shape (k, n, n), n being the number of pixels
    space : Space

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        Where these are not covariances of images of `space`.
    """

    def __init__(self, matrices: torch.Tensor, space: Space) -> None:
        n = space.size
        if matrices.shape[1:] != (n, n):
            raise ShapeError(f"Covariances of {n} pixels are ({n}, {n}); got {tuple(matrices.shape[1:])}.")
        if matrices.is_complex() and space.field == "real":
            raise DtypeError("The covariance of real images is real.")
        if not bool(torch.isfinite(matrices).all()):
            raise ParameterError("A covariance must be finite.")
        matrices = _in_double(matrices)
        size = matrices.abs().amax((-2, -1), keepdim=True)
        if not bool(((matrices - matrices.mH).abs() <= _ROUNDING * size).all()):
            raise ParameterError("A covariance must be symmetric (Hermitian, if complex); this one is not.")
        values, vectors = torch.linalg.eigh((matrices + matrices.mH) / 2)
        if not bool((values >= -_ROUNDING * size[..., 0]).all()):
            raise ParameterError("A covariance has no negative eigenvalues; this one does.")
        # shaped as images are, so that a shift has one form for all
        super().__init__(space, values.clamp(min=0).reshape(-1, *space.shape))
        self.vectors = Constant(vectors)

    def _coefficients(self, r):
        return self._rotate(r, self.vectors.like(r).conj())

    def _image(self, c):
        return self._rotate(c, self.vectors.like(c).mT)

    def _rotate(self, r: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
        """Multiply the rows ``(..., k, n)`` by each component's matrix."""
        rows = r.flatten(-len(self.space.shape)) if self.space.shape else r[..., None]
        Q = Q.to(rows.dtype)
        if self.count == 1:
            turned = rows @ Q[0]
        else:
            turned = torch.movedim(torch.movedim(rows, -2, 0).flatten(1, -2) @ Q, 0, -2)
        return turned.reshape(r.shape)

    def _component(self, index):
        Q, values = self.vectors.value[index], self.eigenvalues.value[index].flatten()
        return Dense(((Q * values) @ Q.mH)[None], self.space)


class LowRank(Covariance):
    """A few directions and independent pixels: ``C = F.H F + diag(variances)``, as in factor analysis.

    Inverted by Woodbury's identity, at a cost linear in the number of pixels.

    Parameters
    ----------
    factors : tensor, shape (rank, *shape) or (k, rank, *shape)
    variances : positive number, or tensor that broadcasts to (k, *shape)
    space : Space or tuple of int, optional
        Of the images; without it the factors are those of one covariance.

    Raises
    ------
    ParameterError
        Where a variance is not positive, or something not finite.
    """

    def __init__(self, factors: torch.Tensor, variances: Any, space: Any = None) -> None:
        if space is None:
            space = Space(tuple(factors.shape[1:]), "complex" if factors.is_complex() else "real")
        space = space if isinstance(space, Space) else Space(tuple(space))
        if factors.ndim == len(space.shape) + 1:
            factors = factors[None]
        if factors.ndim != len(space.shape) + 2 or factors.shape[2:] != space.shape:
            raise ShapeError(f"factors are (k, rank, *{space.shape}); got {tuple(factors.shape)}.")
        variances = torch.as_tensor(variances, dtype=torch.float64)
        if not bool(((variances > 0) & torch.isfinite(variances)).all()):
            raise ParameterError("variances of a low-rank covariance must be positive and finite.")
        if not bool(torch.isfinite(factors).all()):
            raise ParameterError("A covariance must be finite.")
        super().__init__(space, len(factors))
        own = self.count if variances.ndim > len(space.shape) and len(variances) > 1 else 1
        #: Variances of the pixels, float64, shape (count, n), or (1, n) where all have the same.
        self.variances = Constant(variances.expand(own, *space.shape).flatten(1))
        #: In their own precision, shape (count, rank, n).
        self.factors = Constant(
            (factors if factors.is_floating_point() or factors.is_complex() else factors.double()).flatten(2)
        )

    @cached_property
    def _square_root(self) -> tuple[Constant, Constant]:
        """Of ``C = D^1/2 (1 + V diag(s^2) V.H) D^1/2``: ``(1 + s^2)^1/2 - 1`` and ``V.H``."""
        rows = _in_double(self.factors.value) * self.variances.value.rsqrt()[:, None]
        _, s, Vh = torch.linalg.svd(rows, full_matrices=False)
        return Constant((1 + s.square()).sqrt() - 1), Constant(Vh)

    def _rows(self, r: torch.Tensor) -> torch.Tensor:
        return r.flatten(-len(self.space.shape)) if self.space.shape else r[..., None]

    def apply(self, r):
        """``F.H F r + D r``."""
        rows, F = self._rows(r), self.factors.like(r)
        return (self.variances.like(r) * rows + _across(F.mH, _across(F, rows))).reshape(r.shape)

    def _capacitance(self, inverse: torch.Tensor, F: torch.Tensor) -> torch.Tensor:
        """Cholesky factor of ``1 + F D^-1 F.H``, D being the shifted variances."""
        M = (F * inverse[..., None, :]) @ F.mH
        return torch.linalg.cholesky(M + torch.eye(M.shape[-1], dtype=M.dtype, device=M.device))

    def solve(self, r, shift):
        """``E r - E F.H (1 + F E F.H)^-1 F E r``, E being the inverse of the shifted variances."""
        rows, F = self._rows(r), self.factors.like(r)
        inverse = 1 / (self.variances.like(r) + self._rows(shift))
        t = inverse * rows
        L = self._capacitance(inverse, F)
        inner = _across(F, t)
        inner = torch.cholesky_solve(inner[..., None], L.expand(*inner.shape[:-1], *L.shape[-2:]))[..., 0]
        return (t - inverse * _across(F.mH, inner)).reshape(r.shape)

    def logdet(self, shift):
        """``log det(1 + F E F.H) - log det E``."""
        variances = self.variances.like(shift) + self._rows(shift)
        L = self._capacitance(1 / variances, self.factors.like(shift))
        return torch.log(variances).sum(-1) + 2 * torch.log(L.diagonal(dim1=-2, dim2=-1).real).sum(-1)

    def root(self, z):
        """``D^1/2 (1 + V diag(s^2) V.H)^1/2 z``."""
        gains, directions = self._square_root
        rows, V = self._rows(z), directions.like(z)
        rows = rows + _across(V.mH, gains.like(z) * _across(V, rows))
        return (self.variances.like(z).sqrt() * rows).reshape(z.shape)

    def traces(self):
        """Sum of the variances and of the squared factors."""
        return self.variances.value.sum(-1) + _in_double(self.factors.value).abs().square().sum((-2, -1))

    @property
    def singular(self):
        """Never."""
        return False

    def _component(self, index):
        F = self.factors.value[index].reshape(1, -1, *self.space.shape)
        variances = self.variances.value[index % len(self.variances.value)]
        return LowRank(F, variances.reshape(self.space.shape), self.space)


def _in_double(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float64))


def _across(matrix: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Each component's matrix times the vectors ``(..., k, n)``."""
    return (matrix.to(rows.dtype) @ rows[..., None])[..., 0]


def as_covariance(value: Any, space: Space, count: int) -> Covariance:
    """Covariances of `count` components, from what a user gives.

    Parameters
    ----------
    value : Covariance, number, or tensor
        Variances of the shape ``(count, *shape)``, matrices ``(count, n, n)``, or one variance for all.
    space : Space
        Of the images.
    count : int

    Raises
    ------
    ShapeError
        Where it does not fit the components.
    """
    if isinstance(value, Covariance):
        if value.count not in (1, count) or value.space != space:
            raise ShapeError(
                f"{count} components of {space} need as many covariances, or one; got {value.count} of "
                f"{value.space}."
            )
        return value
    if not isinstance(value, torch.Tensor):
        value = torch.as_tensor(value, dtype=torch.float64)
    if value.ndim == 0:
        return Diagonal(value.reshape(1, *(1,) * len(space.shape)), space)
    n = space.size
    if value.shape not in ((count, *space.shape), (count, n, n)):
        raise ShapeError(
            f"Covariances of {count} components are variances {(count, *space.shape)} or matrices "
            f"{(count, n, n)}; got {tuple(value.shape)}."
        )
    if bool((value == value[:1]).all()):  # shared: diagonalized, and conditioned on data, once
        value = value[:1]
    return Diagonal(value, space) if value.shape[1:] == space.shape else Dense(value, space)


def _check_real(value: torch.Tensor, name: str) -> None:
    if value.is_complex():
        raise DtypeError(f"{name} are real; got {value.dtype}.")
