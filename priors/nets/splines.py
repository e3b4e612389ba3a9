"""Monotone maps of single numbers, with parameters from a network: affine, and rational-quadratic splines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Affine", "Gaussianization", "GaussianizingSpline", "Spline"]

#: Least width and height of a bin, as a fraction of the interval: below the cell of a level of 8 bits, and
#: the probability that is lost where all bins but one are as low as this.
_NARROWEST, _LOWEST = 1e-4, 1e-6

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

    Gregory and Delbourgo (1982); Durkan et al. (2019), eqs. 4 to 8. Its slopes to the left and to the right
    of a knot are two parameters, and not one, so that a density can have jumps: those of images of 8 bits
    have one at the border of each level.

    Parameters
    ----------
    bins : int
    bound : float
    edge : float, optional
        Width of the first and of the last bin at the start, as a fraction of the interval.
    """

    bins: int
    bound: float
    edge: float | None = None

    @property
    def count(self) -> int:
        """Number of parameters."""
        return 4 * self.bins

    def start(self) -> Tensor:
        """Parameters of the identity."""
        edge = 1 / self.bins if self.edge is None else self.edge
        widths = torch.full((self.bins,), (1 - 2 * edge) / max(1, self.bins - 2))
        widths[0] = widths[-1] = edge
        # log of what the least width leaves
        logits = [torch.log((widths - least) / (1 - self.bins * least)) for least in (_NARROWEST, _LOWEST)]
        return torch.cat([*logits, torch.zeros(2 * self.bins)])

    def __call__(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Values y of x ``(N, C, H, W)``, and the log of the slope; parameters ``(N, C, count, H, W)``."""
        at = x.clamp(-self.bound, self.bound)
        own = self._bin(at, parameters, 0)
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
        own = self._bin(at, parameters, 1)
        v = (at - own.y) / own.height
        bend = (own.left + own.right - 2) * v
        a, b = 1 - own.left + bend, own.left - bend
        u = 2 * v / (b + torch.sqrt((b.square() + 4 * a * v).clamp(min=0)))
        return torch.where(y.abs() <= self.bound, own.x + own.width * u, y)

    def _bin(self, at: Tensor, parameters: Tensor, axis: int) -> _Bin:
        """The bins of numbers; along the axis of x, which is 0, or of y."""
        k = self.bins
        logits, slopes = (half.unflatten(2, (2, k)) for half in parameters.split(2 * k, 2))
        fractions = torch.softmax(logits, 3)
        least = parameters.new_tensor([_NARROWEST, _LOWEST])[:, None, None]
        with torch.no_grad():
            sides = 2 * self.bound * (fractions[:, :, axis] * (1 - k * least[axis]) + least[axis])
            beyond = at[:, :, None] + self.bound >= sides.cumsum(2)[:, :, :-1]
            beyond = F.pad(beyond, (0, 0, 0, 0, 1, 1)).to(at)
            beyond[:, :, 0] = 1
            # products in place of gathers: their gradients need no memory that is zeroed first
            before, own = beyond[:, :, None, 1:], -beyond.diff(dim=2)[:, :, None]
            number = before.sum(3)
        scale = 2 * self.bound * (1 - k * least)
        end = scale * (fractions * before).sum(3) + 2 * self.bound * least * number - self.bound
        side = scale * (fractions * own).sum(3) + 2 * self.bound * least
        left, right = torch.exp(_bounded((slopes * own).sum(3), _SLOPE)).unbind(2)
        (x, y), (width, height) = end.unbind(2), side.unbind(2)
        return _Bin(x, y, width, height, left, right)


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
