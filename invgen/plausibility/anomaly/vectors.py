"""Several numbers of an image made one: their distance from a Gaussian of those of other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from invgen.core.errors import DataError, ShapeError

__all__ = ["Cloud"]

#: Added to the variances, relative to them: numbers that go together to the last digit have no inverse.
_FLOOR = 1e-6


@dataclass(frozen=True)
class Cloud:
    """A Gaussian of vectors, by its mean and covariance.

    Parameters
    ----------
    mean : sequence of float, length d
    covariance : sequence of sequences of float, d x d

    Raises
    ------
    ShapeError, DataError
        Where these are not the mean and the covariance of one Gaussian.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "covariance", tuple(map(tuple, self.covariance)))
        d = len(self.mean)
        if len(self.covariance) != d or any(len(row) != d for row in self.covariance):
            raise ShapeError(f"A mean of {d} numbers has a covariance of {d} x {d}.")
        if bool(self._factor().isnan().any()):
            raise DataError("A covariance is symmetric and positive definite; this one is not.")

    @classmethod
    def fit(cls, vectors: Tensor, names: Sequence[str]) -> Self:
        """Mean and covariance of vectors ``(n, d)``; `names` of the numbers are for messages.

        Raises
        ------
        ShapeError, DataError
            For too few vectors, and where a number is the same in all of them.
        """
        n, d = vectors.shape
        if n < d + 2:
            raise ShapeError(f"{d} numbers of each image are fitted to at least {d + 2} images; got {n}.")
        vectors = vectors.double()
        spread = vectors.std(0)
        if bool((spread == 0).any()):
            alike = names[int((spread == 0).nonzero()[0])]
            raise DataError(f"{alike} is the same for all images: nothing is unusual by it.")
        covariance = torch.cov(vectors.T).reshape(d, d) + _FLOOR * torch.diag(spread.square())
        return cls(tuple(vectors.mean(0).tolist()), tuple(map(tuple, covariance.tolist())))

    def distance(self, vectors: Tensor) -> Tensor:
        """Squared Mahalanobis distance of vectors ``(n, d)``, shape (n,)."""
        centered = vectors.double() - torch.tensor(self.mean, dtype=torch.float64)
        return torch.linalg.solve_triangular(self._factor(), centered.T, upper=False).square().sum(0)

    def _factor(self) -> Tensor:
        """Cholesky's; NaN where there is none."""
        matrix = torch.tensor(self.covariance, dtype=torch.float64).reshape(len(self.mean), -1)
        symmetric = bool(torch.isfinite(matrix).all()) and torch.allclose(matrix, matrix.T, rtol=1e-6)
        factor, failed = torch.linalg.cholesky_ex(matrix if symmetric else -torch.eye(len(matrix)).double())
        return factor if not int(failed) else torch.full_like(factor, torch.nan)
