"""From noise to images, and from images to their density, by a denoiser alone: `invgen.priors.Denoiser`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError

__all__ = ["SAMPLERS", "Estimate", "flow_log_prob", "geometric_levels", "noise_levels"]

#: ``denoise(x, sigma)``: the posterior mean of an image, given it and white noise of the level sigma.
Denoise = Callable[[Tensor, float], Tensor]


class Estimate(NamedTuple):
    """A number for each image, and its standard error over the random probes."""

    value: Tensor
    standard_error: Tensor


def noise_levels(steps: int, lowest: float, highest: float, rho: float = 7.0) -> list[float]:
    """Levels from the highest to the lowest, then zero: Karras et al. (2022), eq. 5."""
    steps = _checked(steps, lowest, highest)
    ends = highest ** (1 / rho), lowest ** (1 / rho)
    return [(ends[0] + i / (steps - 1) * (ends[1] - ends[0])) ** rho for i in range(steps)] + [0.0]


def geometric_levels(steps: int, lowest: float, highest: float) -> list[float]:
    """Levels from the highest to the lowest, each the last one times the same factor, then zero."""
    steps = _checked(steps, lowest, highest)
    return [highest * (lowest / highest) ** (i / (steps - 1)) for i in range(steps)] + [0.0]


def _checked(steps: int, lowest: float, highest: float) -> int:
    """The number of noise levels, where there are such levels."""
    if not 0 < lowest < highest:
        raise ParameterError(f"Noise levels fall from the highest to the lowest; got {highest} to {lowest}.")
    return as_count(steps, "The number of noise levels", least=2)


def heun(denoise: Denoise, x: Tensor, levels: Sequence[float], draws: Draws) -> Tensor:
    """Heun's method along the probability flow, Karras et al. (2022), algorithm 1; nothing is drawn.

    The flow is ``dx / d sigma = (x - D(x, sigma)) / sigma``.
    """
    for high, low in pairwise(levels):
        slope = (x - denoise(x, high)) / high
        step = x + (low - high) * slope
        if low > 0:
            slope = (slope + (step - denoise(step, low)) / low) / 2
            step = x + (low - high) * slope
        x = step
    return x


def ancestral(denoise: Denoise, x: Tensor, levels: Sequence[float], draws: Draws) -> Tensor:
    """Each level from the one before by Bayes' rule, with the denoised image as the clean one.

    Song et al. (2021), eq. 47. With few steps the variance of the samples is too small.
    """
    for high, low in pairwise(levels):
        kept = (low / high) ** 2
        x = kept * x + (1 - kept) * denoise(x, high)
        if low > 0:
            x = x + low * math.sqrt(1 - kept) * draws(x)
    return x


def predictor_corrector(
    denoise: Denoise, x: Tensor, levels: Sequence[float], draws: Draws, ratio: float = 0.16
) -> Tensor:
    """Reverse diffusion with a step of Langevin dynamics at each level.

    Song et al. (2021), algorithms 2 and 4. Of the latter's steps, ``2 (r |z| / |score|)^2``, these have the
    length for a score of noise alone, ``2 (r sigma)^2``: steps that depend on the image's own score would
    change the density that they sample from.
    """
    for high, low in pairwise(levels):
        change = high**2 - low**2
        x = x + change / high**2 * (denoise(x, high) - x)
        if low == 0:
            break
        x = x + math.sqrt(change) * draws(x)
        step = 2 * (ratio * low) ** 2
        x = x + step / low**2 * (denoise(x, low) - x) + math.sqrt(2 * step) * draws(x)
    return x


#: The samplers, by the names that `sample` takes.
SAMPLERS = {"heun": heun, "ancestral": ancestral, "predictor-corrector": predictor_corrector}


def flow_log_prob(
    denoise: Denoise,
    x: Tensor,
    lowest: float,
    highest: float,
    std: float,
    *,
    steps: int = 40,
    probes: int = 4,
    seed: int = 0,
) -> Estimate:
    """Logarithm of the density of images, along the probability flow; Song et al. (2021), sec. 4.3, eq. 39.

    Of real images ``(n, *image)``, with noise of the `lowest` level. With ``t = log sigma`` the flow is
    ``dx/dt = x - D(x, sigma)``, along which the logarithm of the density falls by the divergence: the number
    of pixels less the trace of D's Jacobian. That trace is the mean of ``e . J e`` over random signs e
    (Hutchinson 1989), which are the same at all times. At the `highest` level the density is taken to be
    Gaussian, with the variance ``highest^2 + std^2`` around the mean that follows from the denoiser.

    Parameters
    ----------
    denoise : callable
    x : tensor, shape (n, *image)
    lowest, highest : float
    std : float
        Standard deviation of a pixel over all images; the result depends on it little.
    steps : int
        Of the fourth-order Runge-Kutta method, in equal steps of t.
    probes : int
        Random signs for each image.
    seed : int

    Returns
    -------
    Estimate
        Natural logarithms, shape (n,), and their standard errors over the probes.
    """
    from torchdiffeq import odeint

    if x.is_complex():
        raise ParameterError("The density needs real images; these are complex.")
    steps, probes = as_count(steps, "steps"), as_count(probes, "probes", least=2)
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (probes, *x.shape), generator=generator).to(x) * 2 - 1
    size = x[0].numel()

    def flow(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = state[0].detach().requires_grad_()
            denoised = denoise(at, math.exp(float(t)))
            traces = [
                (sign * torch.autograd.grad(denoised, at, sign, retain_graph=True)[0]).flatten(1).sum(1)
                for sign in signs
            ]
        return (at - denoised).detach(), size - torch.stack(traces)

    ends_of_time = math.log(lowest), math.log(highest)
    times = torch.linspace(*ends_of_time, steps + 1, dtype=torch.float64, device=x.device)
    start = x, x.new_zeros(probes, len(x))
    ends, gained = (values[-1] for values in odeint(flow, start, times, method="rk4"))
    variance = highest**2 + std**2
    # of a Gaussian density, x - D(x) is the distance from the mean times this ratio of variances
    away = (ends - denoise(ends, highest)) * (variance / highest**2)
    log_prob = -away.square().flatten(1).sum(1) / (2 * variance) - size / 2 * math.log(2 * math.pi * variance)
    return Estimate(log_prob + gained.mean(0), gained.std(0) / math.sqrt(probes))
