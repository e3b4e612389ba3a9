"""Monotone maps of single numbers, with parameters from a network: affine, and rational-quadratic splines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.frozen import Constant

__all__ = ["Affine", "Gaussianization", "GaussianizingSpline", "Spline"]

#: Least height of a bin, as a fraction of the interval: the probability that is lost where all bins but one
#: are as low as this.
_LOWEST = 1e-6

#: Bounds of the logarithms of a scale, and of the slope at a knot over that of its bin.
_SCALE, _SLOPE = 8.0, 5.0

#: Bound of the latents that stand for the inside of the interval, in standard deviations.
_FAR = 4.0


def _bounded(x: Tensor, bound: float) -> Tensor:
    return bound * torch.tanh(x / bound)


@dataclass(frozen=True)
class Affine:
    """``y = exp(s) x + t``, Dinh, Sohl-Dickstein and Bengio (2017), eq. 5, with s bounded."""

    count: ClassVar[int] = 2

    def start(self) -> Tensor:
        """Parameters of the identity."""
        return torch.zeros(2)

    def __call__(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Values y of x ``(N, C, H, W)``, and the log of the slope; parameters ``(N, C, count, H, W)``."""
        s, t = parameters.unbind(2)
        s = _bounded(s, _SCALE)
        return torch.exp(s) * x + t, s

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """The x of y."""
        s, t = parameters.unbind(2)
        return (y - t) * torch.exp(-_bounded(s, _SCALE))


class _Bin(NamedTuple):
    """Where the bin of a number begins, its sides, and the slopes at its ends over its mean slope."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Spline:
    """A monotone rational-quadratic spline of ``[-bound, bound]`` onto itself; the identity outside.

    Gregory and Delbourgo (1982); Durkan et al. (2019), eq. 4, with two differences. Its slopes to the left
    and to the right of a knot are two parameters, and not one, so that a density can have jumps: those of
    images of 8 bits have one at the border of each level. And x of the knots is fixed, not learned: a
    derivative with respect to the place of a jump says nothing of the numbers that change sides, so that
    bins would shrink until they lose theirs. (Mueller et al. 2019 fix knots between which a density is
    constant.)

    Parameters
    ----------
    bins : int
    bound : float
    edge : float, optional
        Width of the first and of the last bin, as a fraction of the interval: the cells of black and of white
        pixels. Those beside them are at most three times as wide, and the rest are of one width.
    """

    bins: int
    bound: float
    edge: float | None = None

    @property
    def count(self) -> int:
        """Number of parameters."""
        return 3 * self.bins

    @cached_property
    def widths(self) -> Tensor:
        """Of the bins, as fractions of the interval, in double precision."""
        k, edge = self.bins, self.edge
        outer: list[float] = []
        if edge is not None:
            outer = [edge, min(3 * edge, (1 - 2 * edge) / (k - 2))]
        inner = (1 - 2 * sum(outer)) / (k - 2 * len(outer))
        widths = [*outer, *[inner] * (k - 2 * len(outer)), *reversed(outer)]
        return torch.tensor(widths, dtype=torch.float64)

    @cached_property
    def _widths(self) -> Constant:
        return Constant(self.widths)

    def start(self) -> Tensor:
        """Parameters of the identity."""
        # in the softmax, heights are what is above the least
        logits = torch.log((self.widths - _LOWEST) / (1 - self.bins * _LOWEST))
        return torch.cat([logits, torch.zeros(2 * self.bins, dtype=logits.dtype)]).float()

    def __call__(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Values y of x ``(N, C, H, W)``, and the log of the slope; parameters ``(N, C, count, H, W)``."""
        at = x.clamp(-self.bound, self.bound)
        own = self._bin(at, parameters, inverse=False)
        u = (at - own.x) / own.width
        curve = 1 + (own.left + own.right - 2) * u * (1 - u)
        y = own.y + own.height * u * (u + own.left * (1 - u)) / curve
        slope = own.right * u.square() + 2 * u * (1 - u) + own.left * (1 - u).square()
        log_slope = torch.log(own.height / own.width * slope) - 2 * torch.log(curve)
        inside = x.abs() <= self.bound
        return torch.where(inside, y, x), torch.where(inside, log_slope, torch.zeros_like(x))

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """The x of y: a root of a quadratic, Durkan et al. (2019), eqs. 25 to 29."""
        at = y.clamp(-self.bound, self.bound)
        own = self._bin(at, parameters, inverse=True)
        v = (at - own.y) / own.height
        bend = (own.left + own.right - 2) * v
        a, b = 1 - own.left + bend, own.left - bend
        u = 2 * v / (b + torch.sqrt((b.square() + 4 * a * v).clamp(min=0)))
        return torch.where(y.abs() <= self.bound, own.x + own.width * u, y)

    def _bin(self, at: Tensor, parameters: Tensor, inverse: bool) -> _Bin:
        """The bins of numbers: of x, or with `inverse` of y."""
        k, size = self.bins, 2 * self.bound
        logits, slopes = parameters.split([k, 2 * k], 2)
        fractions = torch.softmax(logits, 2) * (1 - k * _LOWEST) + _LOWEST
        widths = self._widths.like(at)[:, None, None]
        with torch.no_grad():
            ends = (fractions if inverse else widths).cumsum(-3) * size - self.bound
            beyond = F.pad((at[:, :, None] >= ends[..., :-1, :, :]).to(at), (0, 0, 0, 0, 1, 1))
            beyond[:, :, 0] = 1
            # products in place of gathers: their gradients need no memory that is zeroed first
            before, own = beyond[:, :, 1:], -beyond.diff(dim=2)
        x, width = ((widths * part).sum(2) for part in (before, own))
        y, height = ((fractions * part).sum(2) for part in (before, own))
        slope = (slopes.unflatten(2, (2, k)) * own[:, :, None]).sum(3)
        left, right = torch.exp(_bounded(slope, _SLOPE)).unbind(2)
        return _Bin(size * x - self.bound, size * y - self.bound, size * width, size * height, left, right)


@dataclass(frozen=True)
class Gaussianization:
    """Uniform numbers of ``[-bound, bound]`` as standard normal ones up to 4, on a line outside.

    The inverse of the cumulative distribution, continued by its tangent: the image of a normal number is
    outside of the interval with a probability of 6e-5.
    """

    bound: float

    @property
    def _mass(self) -> float:
        return math.erf(_FAR / math.sqrt(2))

    @property
    def _steep(self) -> float:
        """Slope of the map at its ends."""
        density = math.exp(-(_FAR**2) / 2) / math.sqrt(2 * math.pi)
        return self._mass / (2 * self.bound * density)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values z of x, and the logarithm of the slope."""
        u = x.clamp(-self.bound, self.bound)
        z = math.sqrt(2) * torch.erfinv(u / self.bound * self._mass)
        log_slope = math.log(self._mass / self.bound * math.sqrt(math.pi / 2)) + z.square() / 2
        return z + self._steep * (x - u), log_slope

    def inverse(self, z: Tensor) -> Tensor:
        """The x of z."""
        u = z.clamp(-_FAR, _FAR)
        return self.bound / self._mass * torch.erf(u / math.sqrt(2)) + (z - u) / self._steep


@dataclass(frozen=True)
class GaussianizingSpline(Spline):
    """A `Spline`, which makes numbers uniform, and then `Gaussianization`."""

    def __call__(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Values z of x, and the logarithm of the slope."""
        y, slope = super().__call__(x, parameters)
        z, steepness = Gaussianization(self.bound)(y)
        return z, slope + steepness

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """The x of z."""
        return super().inverse(Gaussianization(self.bound).inverse(y), parameters)
