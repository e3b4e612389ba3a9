"""Densities from data: kernels that are wide along what leaves an image the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.core.space import check_finite
from invgen.core.text import quoted
from invgen.operators import Space
from invgen.priors.densities.cosines import cosines
from invgen.priors.densities.covariances import Covariance, LowRank
from invgen.priors.densities.mixture import GaussianMixture
from invgen.priors.densities.tangents import tangent_vectors

__all__ = ["TangentKernelDensity"]

#: Largest blur in pixels: single precision holds the noise of the highest frequencies up to there.
_BLUR = 2.0

#: Images whose tangent vectors are computed at a time.
_TOGETHER = 1000

#: Numbers in the products of images with the tangent vectors of all data.
_BLOCK = 2**25

#: Blur in pixels below which derivatives are differences of neighboring pixels.
_SHARPEST = 0.3


class TangentKernelDensity(GaussianMixture):
    """A Gaussian around each of n images, wide along its tangent vectors.

    Each image is one of the data, displaced, thickened and brightened a little, with noise::

        x = x_i + sum_j a_j t_ij + B^-1 e,    a_j ~ N(0, deformation^2),    e ~ N(0, bandwidth^2).

    The tangent vectors t_i are those of two translations, four linear deformations (rotation, scaling, two
    shears), the thickness of strokes, and the contrast: see `invgen.priors.densities.tangents`. B is a
    Gaussian blur with mirrored edges, so that the finest detail counts least: the distance of images is that
    of blurred ones. It is `KernelDensity` with this distance, and with the tangent distance of Simard et al.
    (1998) in place of it, as a density: Keysers, Macherey, Ney and Dahmen (2004), "Adaptation in statistical
    pattern recognition using tangent vectors". One for each class, `invgen.plausibility.BayesClassifier`
    classifies handwritten digits.

    As a mixture of Gaussians it has everything in closed form. Its samples have the noise of the model, which
    with a blur is the largest at high frequencies: it is made to compare images, not to draw or restore them.

    Parameters
    ----------
    data : real tensor, shape (n, H, W) or (n, C, H, W)
        The density keeps ten numbers for each of theirs, in their precision.
    bandwidth : positive number
        Standard deviation of the noise in blurred images.
    deformation : positive number
        Standard deviation of displacements, in pixels: that of each translation; of each linear deformation
        as the root mean square over the image; and of edges, by thickness.
    contrast : positive number
        Standard deviation of the relative change of contrast.
    blur : number from 0 to 2
        Standard deviation of the blur B, in pixels.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
    """

    def __init__(
        self,
        data: torch.Tensor,
        bandwidth: float,
        deformation: float = 1.0,
        contrast: float = 0.3,
        blur: float = 0.5,
    ) -> None:
        data, name = torch.as_tensor(data).detach(), type(self).__name__
        if not data.is_floating_point():
            raise DtypeError(f"{name} takes real images as floating-point numbers; got {data.dtype}.")
        if data.ndim not in (3, 4) or not data.numel():
            raise ShapeError(f"{name} takes images (n, H, W) or (n, C, H, W); got {tuple(data.shape)}.")
        check_finite(data, f"{name}'s data")
        blurred: Any = blur  # what came, of any type
        positive: dict[str, Any] = {"bandwidth": bandwidth, "deformation": deformation, "contrast": contrast}
        for what, value in positive.items():
            if not (isinstance(value, Real) and 0 < float(value) < math.inf):
                raise ParameterError(f"{what} is a positive number; got {quoted(value)}.")
        if not (isinstance(blurred, Real) and 0 <= float(blurred) <= _BLUR):
            raise ParameterError(f"blur is a number of pixels from 0 to {_BLUR:g}; got {quoted(blurred)}.")
        basis = _CosineBasis(tuple(data.shape[1:]))
        widths = data.new_tensor([deformation] * 7 + [contrast]).reshape(-1, *(1,) * (data.ndim - 1))
        factors = torch.cat(
            [basis(widths * tangent_vectors(some, max(blur, _SHARPEST))) for some in data.split(_TOGETHER)]
        )
        noise = (bandwidth / basis.gains(blur)).square().to(data.device)
        self._low_rank = LowRank(factors, noise, basis.space)
        super().__init__(data, _InBasis(self._low_rank, basis))
        self._basis, self._centers = basis, Constant(basis(data).flatten(1))

    # All kernels have the same noise D, with which Woodbury's identity makes products of matrices of all
    # distances; the mixture's own way, which takes any covariances, forms each difference.

    @property
    def _at_once(self) -> int:
        return max(1, _BLOCK // math.prod(self._low_rank.factors.value.shape[:2]))

    def _log_components(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self._level_by_level(lambda rows, s: self._given(rows, s)[0], x, sigma)

    def _score(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self._basis.inverse(self._level_by_level(self._score_of_rows, x, sigma).reshape(x.shape))

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        # Tweedie's formula
        return self._blockwise(lambda x, sigma: x + sigma.square() * self._score(x, sigma), x, sigma)

    def _given(
        self, rows: torch.Tensor, s: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """``log w_i N(x; m_i, C_i + s)``, ``E = (D + s)^-1``, L and ``L^-1 F_i E (x - m_i)``.

        Of cosines `rows`, (b, n). L is the Cholesky factor of ``1 + F_i E F_i.T``; shapes are (b, k), (n,),
        (k, r, r) and (k, r, b).
        """
        F, m = self._low_rank.factors.like(rows), self._centers.like(rows)
        E = 1 / (self._low_rank.variances.like(rows)[0] + s)
        weighted = F * E
        L = torch.linalg.cholesky(weighted @ F.mT + torch.eye(F.shape[1], dtype=F.dtype, device=F.device))
        along = (weighted.flatten(0, 1) @ rows.mT).unflatten(0, F.shape[:2]) - weighted @ m[..., None]
        along = torch.linalg.solve_triangular(L, along, upper=False)
        squares = (rows.square() @ E)[:, None] - 2 * (rows * E) @ m.mT + m.square() @ E
        squares = squares - along.square().sum(1).mT
        logdet = 2 * L.diagonal(dim1=1, dim2=2).log().sum(1) - E.log().sum()
        constant = torch.log(self._weights.like(rows)) - logdet / 2 - len(E) / 2 * math.log(2 * math.pi)
        return constant - squares / 2, E, L, along

    def _score_of_rows(self, rows: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """``-sum r_i (C_i + s)^-1 (x - m_i)``, ``(C_i + s)^-1 = E - E F_i.T (1 + F_i E F_i.T)^-1 F_i E``."""
        logs, E, L, along = self._given(rows, s)
        r = torch.softmax(logs, 1)
        along = torch.linalg.solve_triangular(L.mT, along, upper=True) * r.mT[:, None]
        F, m = self._low_rank.factors.like(rows), self._centers.like(rows)
        return E * (r @ m + along.flatten(0, 1).mT @ F.flatten(0, 1) - rows)

    def _level_by_level(
        self,
        function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x: torch.Tensor,
        sigma: torch.Tensor,
    ) -> torch.Tensor:
        """Apply to the cosines of images with one noise variance at a time."""
        rows, variances = self._basis(x).flatten(1), sigma.square().flatten()
        levels, which = variances.unique(return_inverse=True)
        if len(levels) < 2:
            return function(rows, levels.sum())
        order = which.argsort()
        parts = rows[order].split(which.bincount().tolist())
        found = torch.cat([function(*each) for each in zip(parts, levels, strict=True)])
        return found[order.argsort()]


class _CosineBasis(Frozen):
    """The orthonormal cosine transform of many images along their last two axes.

    Parameters
    ----------
    shape : tuple of int
        Of the images.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.space = Space(shape)
        self._rows, self._columns = (Constant(cosines(n)) for n in shape[-2:])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients of images ``(..., *shape)``."""
        return self._rows.like(x) @ x @ self._columns.like(x).mT

    def inverse(self, c: torch.Tensor) -> torch.Tensor:
        """Images of coefficients."""
        return self._rows.like(c).mT @ c @ self._columns.like(c)

    def gains(self, blur: float) -> torch.Tensor:
        """What a Gaussian blur multiplies each coefficient by, float64, shape (*shape)."""
        height, width = self.space.shape[-2:]
        rows, columns = (torch.arange(n, dtype=torch.float64) * math.pi / n for n in (height, width))
        squares = rows[:, None].square() + columns.square()
        return torch.exp(-(blur**2) / 2 * squares).expand(self.space.shape)


class _InBasis(Covariance):
    """A covariance of low rank of the cosines of images."""

    def __init__(self, low_rank: Covariance, basis: _CosineBasis) -> None:
        super().__init__(low_rank.space, low_rank.count)
        self._low_rank, self._basis = low_rank, basis

    def apply(self, r):
        return self._basis.inverse(self._low_rank.apply(self._basis(r)))

    def solve(self, r, shift):
        return self._basis.inverse(self._low_rank.solve(self._basis(r), shift))

    def logdet(self, shift):
        return self._low_rank.logdet(shift)

    def root(self, z):
        return self._basis.inverse(self._low_rank.root(self._basis(z)))

    def traces(self):
        return self._low_rank.traces()

    @property
    def singular(self):
        return False

    def _component(self, index):
        return _InBasis(self._low_rank.component(index), self._basis)
