"""Signals of independent increments in white noise: exact means by sums over a grid, forward and backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invgen.certification.levy.increments import Increments
from invgen.operators.toeplitz import fast_length

__all__ = ["grid", "sampled", "smoothed"]

#: Half the width of the grid around each noisy value, in deviations of the noise.
_REACH = 6.0

#: Points of the grid for a deviation of the noise, and for the scale of the increments.
_NOISE_POINTS, _SCALE_POINTS = 3.0, 4.0

#: Length of constant pieces over their mean, by which follows how closely their level is known.
_LONG = 2.0

#: Deviations of the signal's last value that the grid covers where the noise is larger than that.
_RANGE = 6.0


def grid(
    sigma: float, increments: Increments, n: int, farthest: float | None = None
) -> tuple[float, int, bool]:
    """Spacing, points on each side of the middle, and whether it is the whole range, about zero.

    Where some values are not seen, it is, at least to the `farthest` of those that are.
    """
    extent = max(_RANGE * math.sqrt(n * increments.variance), farthest or 0.0)
    piece = min(n, _LONG / increments.probability) if increments.probability < 1 else 1.0
    spacing = min(sigma / _NOISE_POINTS / math.sqrt(piece), increments.scale / _SCALE_POINTS)
    everywhere = farthest is not None or _REACH * sigma > extent
    return spacing, math.ceil((extent if everywhere else _REACH * sigma) / spacing), everywhere


def smoothed(
    y: Tensor, sigma: float, increments: Increments, *, refine: int = 1, observed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of ``x_1 ... x_n`` given ``y = x + sigma n``, with ``x_k = x_(k-1) + u_k``, x_0 = 0.

    The sum-product algorithm on a hidden Markov chain whose values are multiples of a spacing, at most a
    third of sigma and a quarter of the increments' scale (finer where pieces are constant, whose level is
    known better than each value). Messages pass forward and backward, each a discrete convolution with the
    probabilities of the increments. Each value has a grid of its own, six deviations of the noise around the
    noisy one, or the whole range of the signal where noise hides it. Sums of Gaussians on such a grid are
    exact to rounding, and the variance of the increments is right; what is left is of the order of the
    squared spacing over the squared scale, where the increments' density has a kink.

    Parameters
    ----------
    y : tensor, shape (batch, n)
        Differentiable: the mean's derivative is the posterior covariance over ``sigma^2``.
    sigma : positive number
    increments : Increments
    refine : int
        Divides the spacing.
    observed : bool tensor, shape (n,), optional
        Values that are seen at all; the others are anywhere within the range of the signal.

    Returns
    -------
    mean, variance : tensors, shape (batch, n)
    """
    n = y.shape[1]
    places, likelihood, forward, kernels, half, size = _filtered(y, sigma, increments, refine, observed)
    backward = torch.ones_like(forward[-1])
    mean, variance = [torch.empty(0)] * n, [torch.empty(0)] * n
    for k in reversed(range(n)):
        p = _normalized(forward[k] * backward)
        mean[k] = (p * places[:, k]).sum(-1)
        variance[k] = (p * (places[:, k] - mean[k][:, None]).square()).sum(-1)
        if k:
            # the kernel is passed from k to k - 1: turned around
            passed = _passed(likelihood[:, k] * backward, kernels[k - 1], half, size, turned=True)
            backward = _normalized(passed)
    return torch.stack(mean, 1), torch.stack(variance, 1)


@torch.no_grad()
def sampled(
    y: Tensor,
    sigma: float,
    increments: Increments,
    count: int,
    seed: int,
    *,
    refine: int = 1,
    observed: Tensor | None = None,
) -> Tensor:
    """Independent samples ``(count, n)`` given one measurement ``(n,)``, on the grid of `smoothed`.

    The last value from its forward message, then each from its message times the step to the next.
    """
    generator = torch.Generator().manual_seed(seed)
    places, _, forward, _, _, _ = _filtered(y[None], sigma, increments, refine, observed)
    spacing = float(places[0, 0, 1] - places[0, 0, 0])
    drawn: list[Tensor] = []
    for k in reversed(range(len(y))):
        p = forward[k].expand(count, -1)
        if drawn:
            steps = ((drawn[-1][:, None] - places[0, k]) / spacing).round()
            log_kernel = increments.log_mass(steps, spacing)
            p = p * torch.exp(log_kernel - log_kernel.amax(1, keepdim=True))
        drawn.append(places[0, k][torch.multinomial(p, 1, generator=generator)[:, 0]])
    return torch.stack(drawn[::-1], 1)


class _Filtered(NamedTuple):
    """The grids ``(batch, n, points)``, the likelihood on them, messages passed forward, and kernels."""

    places: Tensor
    likelihood: Tensor
    forward: list[Tensor]
    kernels: list[Tensor]
    half: int
    size: int


def _filtered(
    y: Tensor, sigma: float, increments: Increments, refine: int, observed: Tensor | None
) -> _Filtered:
    """The forward pass."""
    n = y.shape[1]
    farthest = None if observed is None else float(y[:, observed].abs().max()) + _REACH * sigma
    spacing, half, everywhere = grid(sigma, increments, n, farthest)
    spacing, half = spacing / refine, half * refine
    points = torch.arange(-half, half + 1, device=y.device)
    centers = torch.zeros_like(y).long() if everywhere else (y.detach() / spacing).round().long()
    places = spacing * (centers[..., None] + points).to(y)
    misfit = ((places - y[..., None]) / sigma).square() / 2
    if observed is not None:
        misfit = misfit * observed.to(misfit)[:, None]
    likelihood = torch.exp(misfit.detach().amin(-1, keepdim=True) - misfit)
    # from x_0 = 0, which is a multiple of the spacing as all values are
    first = increments.log_mass((centers[:, :1] + points).to(y), spacing)
    forward = [_normalized(torch.exp(first - first.amax(-1, keepdim=True)) * likelihood[:, 0])]
    kernels, size = [], fast_length(4 * half + 1)
    offsets = torch.arange(-2 * half, 2 * half + 1, device=y.device)
    for k in range(1, n):
        steps = (centers[:, k] - centers[:, k - 1])[:, None] + offsets
        log_kernel = increments.log_mass(steps.to(y), spacing)
        kernel = torch.exp(log_kernel - log_kernel.amax(-1, keepdim=True))
        kernels.append(torch.fft.rfft(kernel, n=size, dim=-1))
        forward.append(_normalized(_passed(forward[-1], kernels[-1], half, size) * likelihood[:, k]))
    return _Filtered(places, likelihood, forward, kernels, half, size)


def _normalized(message: Tensor) -> Tensor:
    return message / message.sum(-1, keepdim=True)


def _passed(message: Tensor, kernel: Tensor, half: int, size: int, *, turned: bool = False) -> Tensor:
    """Sums of a message on one grid times the kernel, at each point of the next: from the kernel's spectrum.

    The kernel holds all steps from the first point of one grid to the last of the other, so that a periodic
    convolution of its own length, or longer, is exact where it counts.
    """
    spectrum = torch.fft.rfft(message, n=size, dim=-1)
    if turned:
        found = torch.fft.irfft(spectrum * kernel.conj(), n=size, dim=-1)
        # correlation: sum_i kernel[2 half + i - j] m[i] stands at the lag j - 2 half
        found = torch.roll(found, 2 * half, -1)[..., : 2 * half + 1]
    else:
        found = torch.fft.irfft(spectrum * kernel, n=size, dim=-1)[..., 2 * half : 4 * half + 1]
    return found.clamp(min=0)
