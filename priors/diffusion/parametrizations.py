"""Networks that predict the noise, the score, a velocity or a flow, as denoisers ``D(x, sigma)``.

Published networks take images ``x_t = alpha_t x_0 + sigma_t n``. The argument of the denoisers is
``x_t / alpha_t``, whose noise has the level ``sigma = sigma_t / alpha_t``: this is the only time of
`invgen.priors.Diffusion`. Each class is one formula: from a network ``network(seen, time, label)`` it makes a
denoiser ``D(x, sigma, label, extra)`` of images ``(N, C, H, W)`` and noise levels ``(N,)``. Its `time` maps
sigma to the time that the network was trained with: see `DiscreteTimes` and the classes after it.

Data in [0, 1] have half the range of those in [-1, 1]: the same noise has half the sigma. `UnitInterval`
makes a denoiser of the second from one of the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.nets.evaluation import Preconditioned

__all__ = [
    "ContinuousTimes",
    "DiscreteTimes",
    "FlowPrediction",
    "FlowTimes",
    "ImagePrediction",
    "NoisePrediction",
    "ScorePrediction",
    "SigmaTimes",
    "UnitInterval",
    "VelocityPrediction",
    "cosine_betas",
    "geometric_sigmas",
    "linear_betas",
    "sigmas_of",
]


class Prediction(Preconditioned):
    """Base of the formulas: the network, and how it is called."""

    def __init__(self, network: nn.Module, time: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.time = network, time

    def _predicted(self, seen: Tensor, sigma: Tensor, label: Tensor | None, extra: Tensor | None) -> Tensor:
        channels = seen.shape[1]
        seen = seen if extra is None else torch.cat([seen, extra], dim=1)
        found: Tensor = self.network(seen, self.time(sigma), label)
        if found.shape[1] not in (channels, 2 * channels):
            raise ShapeError(f"The network returns {found.shape[1]} channels for {channels}.")
        # networks that learned variances, too, have them last: Nichol and Dhariwal (2021)
        return found[:, :channels]


class NoisePrediction(Prediction):
    """``D = x - sigma eps(x / sqrt(1 + sigma^2), t)``: variance preserving, Ho et al. (2020), eq. 15."""

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        s = _per_image(sigma)
        return x - s * self._predicted(x * (1 + s**2).rsqrt(), sigma, label, extra)


class ImagePrediction(Prediction):
    """``D = f(x / sqrt(1 + sigma^2), t)``: variance preserving, with the image itself as the prediction."""

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        return self._predicted(x * (1 + _per_image(sigma) ** 2).rsqrt(), sigma, label, extra)


class VelocityPrediction(Prediction):
    """``D = x / (1 + sigma^2) - sigma v(x / sqrt(1 + sigma^2), t) / sqrt(1 + sigma^2)``.

    Variance preserving; ``v = alpha_t n - sigma_t x_0``, Salimans and Ho (2022), app. D.
    """

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        s = _per_image(sigma)
        alpha = (1 + s**2).rsqrt()
        return alpha**2 * x - s * alpha * self._predicted(alpha * x, sigma, label, extra)


class ScorePrediction(Prediction):
    """``D = x + sigma^2 s(x, t)``: variance exploding, Song et al. (2021), eq. 9, by Tweedie's formula."""

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        return x + _per_image(sigma) ** 2 * self._predicted(x, sigma, label, extra)


class FlowPrediction(Prediction):
    """``D = x / (1 + sigma) - s v(x / (1 + sigma), t)`` with ``s = sigma / (1 + sigma)``.

    Rectified flow along ``x_s = (1 - s) x_0 + s n``, Liu, Gong and Liu (2023), eq. 1, whose velocity is
    ``n - x_0``, from the images to the noise.
    """

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        s = _per_image(sigma)
        seen = x / (1 + s)
        return seen - s / (1 + s) * self._predicted(seen, sigma, label, extra)


class UnitInterval(nn.Module):
    """A denoiser of images in [-1, 1] from one of images in [0, 1], where noise has half the sigma."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``."""
        found: Tensor = self.denoiser((x + 1) / 2, sigma / 2, label, extra)
        return 2 * found - 1


class DiscreteTimes(nn.Module):
    """The index of sigma in the noise levels of a network that was trained at these: 0, 1, 2...

    Between two levels by interpolation in ``log sigma``, for networks that embed the time by sines; outside
    of them the first or the last.

    Parameters
    ----------
    sigmas : tensor, shape (T,)
        Levels in the order of the network's times, rising (`sigmas_of`) or falling: the discrete networks of
        Song et al. (2021) with exploding variance start from the highest level, see `geometric_sigmas`.
    rounded : bool
        Whether the network takes whole numbers only.
    """

    def __init__(self, sigmas: Tensor, *, rounded: bool = False) -> None:
        super().__init__()
        steps = sigmas.double().log().diff()
        if not (len(steps) and bool((steps > 0).all() or (steps < 0).all())):
            raise ParameterError("Noise levels are two or more, positive, and strictly rising or falling.")
        self.falling, self.rounded = bool(steps[0] < 0), rounded
        levels = sigmas.double().log()
        self.register_buffer("levels", levels.flip(0) if self.falling else levels, persistent=False)

    def forward(self, sigma: Tensor) -> Tensor:
        """Times of noise levels ``(N,)``."""
        levels: Tensor = self.get_buffer("levels")
        level = sigma.log().to(levels).clamp(levels[0], levels[-1])
        above = torch.searchsorted(levels, level).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        time = above - 1 + (level - low) / (high - low)
        if self.falling:
            time = len(levels) - 1 - time
        return (time.round() if self.rounded else time).to(sigma)


class ContinuousTimes(nn.Module):
    """``scale t`` where the noise level of variance-preserving diffusion is sigma.

    Its rate rises from `lowest` to `highest` for t from 0 to 1, Song et al. (2021), eq. 33, which is solved
    for t. The networks of that paper take ``999 t``. Beyond its last level t stays one.
    """

    def __init__(self, lowest: float = 0.1, highest: float = 20.0, scale: float = 999.0) -> None:
        super().__init__()
        self.lowest, self.highest, self.scale = lowest, highest, scale

    def forward(self, sigma: Tensor) -> Tensor:
        """Times of noise levels ``(N,)``."""
        # (highest - lowest) t^2 / 2 + lowest t = log(1 + sigma^2), in the form that does not cancel
        total = torch.log1p(sigma**2)
        root = (self.lowest**2 + 2 * (self.highest - self.lowest) * total).sqrt()
        return self.scale * (2 * total / (root + self.lowest)).clamp(max=1)


class SigmaTimes(nn.Module):
    """Sigma itself, the argument of the continuous NCSN++, Song et al. (2021)."""

    def forward(self, sigma: Tensor) -> Tensor:
        """Times of noise levels ``(N,)``."""
        return sigma


class FlowTimes(nn.Module):
    """``scale s`` with ``s = sigma / (1 + sigma)``, the weight of the noise in the argument of a flow."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, sigma: Tensor) -> Tensor:
        """Times of noise levels ``(N,)``."""
        return self.scale * sigma / (1 + sigma)


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Variances that each step adds, Ho et al. (2020), sec. 4."""
    steps = as_count(steps, "steps")
    return torch.linspace(first, last, steps, dtype=torch.float64)


def cosine_betas(steps: int = 1000) -> Tensor:
    """Variances that each step adds, Nichol and Dhariwal (2021), eq. 17, at most 0.999."""
    steps = as_count(steps, "steps")
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    kept = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - kept[1:] / kept[:-1]).clamp(max=0.999)


def sigmas_of(betas: Tensor) -> Tensor:
    """Noise levels ``sigma_t / alpha_t`` after each of the steps."""
    logs = torch.log1p(-betas.double()).cumsum(0)  # of alpha_t^2
    return torch.expm1(-logs).sqrt()


def geometric_sigmas(highest: float, lowest: float, steps: int) -> Tensor:
    """Noise levels that fall by a constant factor, Song and Ermon (2019), sec. 4.2, the highest first."""
    steps = as_count(steps, "steps")
    return torch.linspace(math.log(highest), math.log(lowest), steps, dtype=torch.float64).exp()


def _per_image(sigma: Tensor) -> Tensor:
    return sigma[:, None, None, None]
