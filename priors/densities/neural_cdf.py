"""Densities as derivatives of distribution functions that a network learns."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.core.files import temporary_folder
from invgen.priors.densities.points import as_points, format_of_points, uniforms
from invgen.priors.learned import Contents, Learned
from invgen.priors.nets.following import Following
from invgen.priors.nets.monotone import MonotoneCDF
from invgen.priors.trainable import seeded
from invgen.priors.training.engine import Objective, Training

__all__ = ["NeuralCDF"]

#: Thresholds of each point and step, where distribution functions are conditional.
_THRESHOLDS = 16

#: Halvings of an interval that holds a quantile: beyond double precision.
_HALVINGS = 80


class NeuralCDF(Learned):
    """A density whose cumulative distribution function is a network: Magdon-Ismail and Atiya (1998, 2002).

    The value of the distribution function at the j-th smallest of n numbers has the mean ``j / (n + 1)``,
    whatever the distribution. Smooth interpolation of the cumulative (SIC) fits a network to these values by
    least squares; stochastic learning of the cumulative (SLC) fits it to n sorted uniform numbers, drawn anew
    in each step, which have this mean. The density is the derivative of the network.

    Departures from the paper: the network rises by construction (`MonotoneCDF`), where the paper adds a
    penalty on places at which it falls; and its range is all of (0, 1), so that the density is positive and
    its integral one. In several dimensions the paper fits the joint distribution function and takes its mixed
    derivative, which may be negative. Here each coordinate has its distribution function given those
    before it: Rosenblatt (1952). For coordinates beyond the first, least squares at random thresholds y of
    the indicator that a coordinate is at most y have the conditional distribution function as their minimum
    (it is the continuous ranked probability score: Gneiting and Raftery 2007); without a condition, and
    averaged over the data as thresholds, they are SIC up to a constant.

    Parameters
    ----------
    network : MonotoneCDF
    """

    family = "neural-cdf"

    def __init__(self, network: MonotoneCDF) -> None:
        super().__init__(format_of_points(network.config["dimensions"]))
        self._follower = Following(network)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.network.config.items())
        return f"NeuralCDF({settings})"

    @property
    def network(self) -> Any:
        """The network, in evaluation mode."""
        return self._follower.module

    def cdf(self, x: Tensor) -> Tensor:
        """Distribution function of each coordinate given those before it, of the shape of `x`.

        These are independent uniform numbers where x has this density: Rosenblatt (1952).

        Parameters
        ----------
        x : tensor, shape (*batch, D)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(x, "NeuralCDF.cdf")
        points = x.reshape(-1, x.shape[-1])
        return self._follower.like(x)(points, points[:, None])[:, 0].reshape(x.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density, shape of the batch: the sum of those of the conditional densities.

        The derivative of `cdf` in closed form, which keeps its precision far from the data.

        Parameters
        ----------
        x : tensor, shape (*batch, D)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(x, "NeuralCDF.log_prob")
        points = x.reshape(-1, x.shape[-1])
        network: Any = self._follower.like(x)
        total = points.new_zeros(len(points))
        for d in range(x.shape[-1]):
            log_weights, centers, log_slopes = network.sigmoids(points, d)
            z = (points[:, d, None] - centers) * log_slopes.exp()
            # the derivative of sigmoid(z) is sigmoid(z) sigmoid(-z)
            logs = log_weights + log_slopes + F.logsigmoid(z) + F.logsigmoid(-z)
            total = total + torch.logsumexp(logs, -1)
        return total.reshape(x.shape[:-1])

    @torch.no_grad()
    def quantile(self, u: Tensor) -> Tensor:
        """The inverse of `cdf`: the points at which the distribution functions have the values u.

        Coordinate by coordinate, by bisection: the quantile of the network is between the least and the
        largest of those of its sigmoids.

        Parameters
        ----------
        u : tensor, shape (*batch, D)
            Numbers between zero and one, without these.

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(u, "NeuralCDF.quantile")
        if not bool(((u > 0) & (u < 1)).all()):
            raise DataError("Quantiles are those of numbers between 0 and 1, without these.")
        if not u.numel():
            return u.clone()
        rows = u.reshape(-1, u.shape[-1])
        network: Any = self._follower.like(u)
        points = torch.zeros_like(rows)
        for d in range(u.shape[-1]):
            log_weights, centers, log_slopes = network.sigmoids(points, d)
            each = centers + torch.logit(rows[:, d, None]) * torch.exp(-log_slopes)
            low, high = each.amin(-1), each.amax(-1)
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                z = (middle[:, None] - centers) * log_slopes.exp()
                below = (log_weights.exp() * torch.sigmoid(z)).sum(-1) < rows[:, d]
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            points[:, d] = (low + high) / 2
        return points.reshape(u.shape)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n points by inversion, float64, shape (n, D); point i follows from ``seed + i``."""
        return self.quantile(uniforms(n, seed, *(self.image_format.shape or ())))

    def _parameters(self) -> dict[str, Any]:
        return {}

    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self._follower.module}

    @classmethod
    def _built(cls, contents: Contents) -> Self:
        network = contents.networks["network"]
        if not isinstance(network, MonotoneCDF):
            raise ShapeError(f"A NeuralCDF has a MonotoneCDF; this is a {type(network).__name__}.")
        return cls(network)

    @classmethod
    def fit(
        cls,
        data: Any,
        method: str = "SIC",
        *,
        hidden: int = 6,
        training: Training | None = None,
        batch_size: int = 1024,
        folder: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn the distribution function of data.

        Parameters
        ----------
        data : real tensor, shape (n, D)
        method : {"SIC", "SLC"}
            Smooth interpolation or stochastic learning of the cumulative, of the first coordinate.
        hidden : int
            Number of sigmoids of each coordinate: the fewer, the smoother the density. Many of them follow
            the steps of few data by narrow peaks, and so do long trainings; SLC less than SIC.
        training : Training, optional
            By default 1000 steps with the learning rate 0.02. Its seed is that of the network, too.
        batch_size : int
            Points of a step; all of them in each where there are no more.
        folder : path, optional
            For the log and the state from which an interrupted run is resumed to the same weights.

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
            Where these are no points, fewer than two, or all the same in a coordinate.
        """
        points = as_points(data, "NeuralCDF.fit")
        if method not in ("SIC", "SLC"):
            raise ParameterError(f'method is "SIC" or "SLC"; got {method!r}.')
        batch_size = as_count(batch_size, "batch_size")
        training = training or Training(steps=1000, learning_rate=0.02, warmup=50)
        network = seeded(MonotoneCDF, training.seed, points.shape[1], hidden)
        assert isinstance(network, MonotoneCDF)
        network.center.copy_(points.mean(0))
        network.scale.copy_(points.std(0))
        objective = _objective(points, method, min(batch_size, len(points)))
        with nullcontext(folder) if folder is not None else temporary_folder() as place:
            trained = training(network, objective, place)
        assert isinstance(trained, MonotoneCDF)
        return cls(trained.cpu())


def _objective(points: Tensor, method: str, batch_size: int) -> Objective:
    """Mean squared error of the distribution functions at a batch of the points."""
    n, dimensions = points.shape
    order = points[:, 0].argsort(stable=True)
    ranks, single = _ranks(points[:, 0]), points.float()

    def targets(generator: torch.Generator) -> Tensor:
        if method == "SIC":
            return ranks / (n + 1)
        drawn = torch.rand(n, generator=generator, device=generator.device).cpu().sort().values
        return torch.empty_like(drawn).scatter_(0, order, drawn)

    def objective(network: nn.Module, generator: torch.Generator) -> Tensor:
        device = generator.device
        chosen = torch.arange(n)
        if batch_size < n:
            chosen = torch.randint(n, (batch_size,), generator=generator, device=device).cpu()
        own = single[chosen].to(device)
        if dimensions == 1:
            wanted = targets(generator)[chosen].to(own)
            return F.mse_loss(network(own, own[:, None])[:, 0, 0], wanted)
        thresholds = torch.randint(n, (len(own), _THRESHOLDS), generator=generator, device=device).cpu()
        values = torch.cat([own[:, None], single[thresholds].to(device)], 1)
        found = network(own, values)
        first = F.mse_loss(found[:, 0, 0], targets(generator)[chosen].to(own))
        indicator = (own[:, None, 1:] <= values[:, 1:, 1:]).to(own)
        return first + (dimensions - 1) * F.mse_loss(found[:, 1:, 1:], indicator)

    return objective


def _ranks(x: Tensor) -> Tensor:
    """Number of values up to each, single precision; for equal ones the mean of their places, from one."""
    x = x.contiguous()
    ordered = x.sort().values
    below = torch.searchsorted(ordered, x, right=False)
    return ((below + torch.searchsorted(ordered, x, right=True) + 1) / 2).float()
