"""The density of the nearest neighbors, which has to be normalized."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.core.frozen import Constant, Frozen
from invgen.priors.densities.points import as_points, format_of_points
from invgen.priors.image_format import ImageFormat

__all__ = ["NearestNeighbors"]

#: Independent estimates of the integral in several dimensions, and the points of each.
_ESTIMATES, _POINTS = 8, 2**13

#: Relative error of the integral from which the density counts as unknown.
_TOLERANCE = 0.01

#: Proposals of a round for each sample, samples taken together, and rounds before giving up.
_PROPOSALS, _BLOCK, _ROUNDS = 32, 1024, 1000


class NearestNeighbors(Frozen):
    """A density that is high where the k-th nearest data point is near, within a box.

    The estimate of Loftsgaarden and Quesenberry (1965), ``(k - 1) / (n V R^D)`` with the distance R of the
    k-th nearest of n points and the volume V of the unit ball (`log_density_estimate`), is no density: far
    from the data it falls as ``|x|^-D``, so that its integral is infinite. `log_prob` is normalized on a box,
    and minus infinity outside of it: on a line exactly, as the integral of the estimate is a sum of
    logarithms; in several dimensions by quasi-Monte Carlo integration, whose error `normalization_error`
    reports. `energy` needs no integral. Samples are exact in any dimension.

    Parameters
    ----------
    data : real tensor, shape (n, D)
    neighbors : int, optional
        The k, at least 2: around each of the data the estimate for k = 1 has an infinite integral. By default
        ``n^(4 / (D + 4))``, rounded up, whose power of n is the best one for the estimate (Mack and
        Rosenblatt 1979); but on a line ``n^(2 / 3)``. Beyond the data the estimate has some k / n of its
        integral, by which the normalized density is too low everywhere: so k / n and ``k^(-1/2)`` are alike.
    box : pair of sequences of D numbers, optional
        Lower and upper corner; by default the least box that holds the data.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        Where these are no points, fewer than k, or k of them the same.
    """

    def __init__(self, data: Any, neighbors: int | None = None, box: Any = None) -> None:
        points = as_points(data, "NearestNeighbors")
        n, dimensions = points.shape
        if neighbors is None:
            neighbors = min(n, max(2, math.ceil(n ** min(2 / 3, 4 / (dimensions + 4)))))
        self.neighbors = as_count(
            neighbors, f"neighbors, of {n} points including the point itself,", least=2, most=n
        )
        self._data = Constant(points)
        low, high = (points.amin(0), points.amax(0)) if box is None else _corners(box, dimensions)
        self._low, self._high = Constant(low), Constant(high)
        if int(points.unique(dim=0, return_counts=True)[1].max()) >= self.neighbors:
            raise DataError(
                f"{self.neighbors} of the points are the same: their density is infinite. Take more "
                "neighbors."
            )

    def __repr__(self) -> str:
        n, dimensions = self.data.shape
        return f"NearestNeighbors({n} points of shape ({dimensions},), neighbors={self.neighbors})"

    @property
    def image_format(self) -> ImageFormat:
        """Points of the shape (D,)."""
        return format_of_points(self.data.shape[1])

    @property
    def data(self) -> Tensor:
        """The points, float64, shape (n, D)."""
        return self._data.value

    @property
    def box(self) -> tuple[Tensor, Tensor]:
        """Corners of the box of `log_prob` and `sample`, float64, shape (D,) each."""
        return self._low.value, self._high.value

    @cached_property
    def radii(self) -> Tensor:
        """Distance of each of the data to its k-th nearest, itself being the first, float64, shape (n,)."""
        return self._distances(self.data)

    def log_density_estimate(self, x: Tensor) -> Tensor:
        """Logarithm of ``(k - 1) / (n V R^D)``, shape of the batch: not normalized, and of any point.

        Parameters
        ----------
        x : tensor, shape (*batch, D)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(x, "NearestNeighbors.log_density_estimate")
        n, dimensions = self.data.shape
        constant = math.log((self.neighbors - 1) / n) - _log_ball(dimensions)
        return constant - dimensions * torch.log(self._distances(x))

    def energy(self, x: Tensor) -> Tensor:
        """Minus the logarithm of the estimate: the density in any box up to its normalization."""
        return -self.log_density_estimate(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density on the box, shape of the batch; minus infinity outside of it.

        Raises
        ------
        ShapeError, DtypeError, DataError
        CapabilityError
            Where the integral is not known to within one percent, as in many dimensions.
        """
        estimate = self.log_density_estimate(x)
        low, high = self._low.like(x), self._high.like(x)
        # rounded to the precision of x, the corners themselves are inside
        inside = ((x >= low) & (x <= high)).all(-1)
        if self.normalization_error > _TOLERANCE:
            raise CapabilityError(
                f"The integral of this density over its box is known to within "
                f"{100 * self.normalization_error:.1f} % only. Use energy(x) or log_density_estimate(x), a "
                "smaller box, or more neighbors."
            )
        return torch.where(inside, estimate - math.log(self._integral[0]), -torch.inf)

    @property
    def normalization_error(self) -> float:
        """Relative standard error of the integral by which `log_prob` divides; zero on a line."""
        integral, error = self._integral
        return error / integral

    @cached_property
    def _integral(self) -> tuple[float, float]:
        """Of the estimate over the box, and its standard error."""
        n, dimensions = self.data.shape
        low, high = self.box
        if dimensions == 1:
            total = _integral_of_inverse_distance(self.data[:, 0], self.neighbors, float(low), float(high))
            return (self.neighbors - 1) / (2 * n) * total, 0.0
        estimates = torch.empty(_ESTIMATES, dtype=torch.float64)
        for i in range(_ESTIMATES):
            u = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=i).draw(_POINTS)
            estimates[i] = self.log_density_estimate(low + u.double() * (high - low)).exp().mean()
        estimates *= (high - low).prod()
        return float(estimates.mean()), float(estimates.std()) / math.sqrt(_ESTIMATES)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n points of the density on the box, float64, shape (n, D); point i follows from ``seed + i``.

        By rejection. With the distance r of x from a point i whose own k-th neighbor is at R_i, the k-th
        neighbor of x is at no less than ``R_i - r``, and at no less than r if i is among the k: of these k
        each has the same share of the estimate at x, which is at most ``max(r, R_i / 2)^-D``. Proposals have
        this density around a random point i.

        Raises
        ------
        CapabilityError
            Where none of 32,000 proposals is in the box.
        """
        n = as_count(n, "n, the number of points,", least=0)
        blocks = [self._drawn(range(seed + i, seed + min(n, i + _BLOCK))) for i in range(0, n, _BLOCK)]
        return torch.cat([self.data[:0], *blocks])

    def _drawn(self, seeds: range) -> Tensor:
        dimensions = self.data.shape[1]
        draws = Draws(seeds)
        drawn = torch.empty(len(seeds), dimensions, dtype=torch.float64)
        missing = torch.ones(len(seeds), dtype=torch.bool)
        for _ in range(_ROUNDS):
            numbers = draws(drawn.new_empty(len(seeds), _PROPOSALS, dimensions + 3))[missing]
            proposals, accepted = self._proposals(numbers)
            found, first = accepted.max(1)
            rows = torch.nonzero(missing)[:, 0][found]
            drawn[rows] = proposals[found, first[found]]
            missing[rows] = False
            if not bool(missing.any()):
                return drawn
        raise CapabilityError("The box holds too little of the density to draw from: take a larger one.")

    def _proposals(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Points of standard normal numbers (..., D + 3), and which of them are accepted."""
        dimensions, (low, high) = self.data.shape[1], self.box
        u = torch.special.ndtr(numbers[..., dimensions:])
        farthest = torch.linalg.vector_norm(
            torch.maximum(high - self.data.amin(0), self.data.amax(0) - low).clamp(min=0)
        )
        half = self.radii / 2
        # of r^-D between half of R and the farthest point of the box, and of the ball around i
        mass = 1 + dimensions * torch.log((farthest / half).clamp(min=1))
        total = mass.cumsum(0)
        i = torch.searchsorted(total, u[..., 0] * total[-1]).clamp(max=len(total) - 1)
        v = u[..., 1] * mass[i]
        r = half[i] * torch.where(v < 1, v ** (1 / dimensions), torch.exp((v - 1) / dimensions))
        direction = numbers[..., :dimensions]
        direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        x = self.data[i] + r[..., None] * direction
        R = self._distances(x)
        # where i is the k-th itself, r is R up to rounding
        share = torch.where(r <= R * (1 + 1e-9), torch.maximum(r, half[i]) / R, 0) ** dimensions
        return x, ((x >= low) & (x <= high)).all(-1) & (u[..., 2] < share)

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.data.numpy())

    def _distances(self, x: Tensor) -> Tensor:
        """Of each point to its k-th nearest of the data, differentiable, shape of the batch."""
        _, nearest = self._tree.query(x.detach().cpu().double().numpy(), [self.neighbors])
        others = self._data.like(x)[torch.as_tensor(nearest[..., 0], device=x.device)]
        return torch.linalg.vector_norm(x - others, dim=-1)


def _corners(box: Any, dimensions: int) -> tuple[Tensor, Tensor]:
    try:
        low, high = (torch.as_tensor(corner, dtype=torch.float64).reshape(-1) for corner in box)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"box is a pair of corners; got {box!r}.") from error
    if len(low) != dimensions or len(high) != dimensions:
        raise ShapeError(f"Corners of the box have {dimensions} coordinates; got {box!r}.")
    if not bool(((low < high) & torch.isfinite(high - low)).all()):
        raise ParameterError(f"The lower corner of the box is below the upper one; got {box!r}.")
    return low, high


def _log_ball(dimensions: int) -> float:
    """Logarithm of the volume of the unit ball."""
    return dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2 + 1)


def _integral_of_inverse_distance(data: Tensor, k: int, low: float, high: float) -> float:
    """Integral from low to high of one over the distance to the k-th nearest of numbers, exactly.

    The k nearest of x follow one another, from a to b. They are the same until x is as far from a as from the
    number after b; left of ``(a + b) / 2`` the farthest is b, right of it a.
    """
    x = data.sort().values
    a, b = x[: len(x) - k + 1], x[k - 1 :]
    change = (x[: len(x) - k] + x[k:]) / 2
    start = torch.cat([x.new_tensor([low]), change]).clamp(low, high)
    stop = torch.cat([change, x.new_tensor([high])]).clamp(low, high)
    middle = torch.minimum(torch.maximum((a + b) / 2, start), stop)
    left = torch.where(start < middle, torch.log((b - start) / (b - middle)), 0)
    right = torch.where(middle < stop, torch.log((stop - a) / (middle - a)), 0)
    return float((left + right).sum())
