"""Classification by which class's denoiser removes noise best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.plausibility.classification.base import GenerativeClassifier
from invgen.priors.base import Denoiser
from invgen.priors.image_format import format_of

__all__ = ["DenoisingClassifier"]

#: The default range of noise levels, in standard deviations of the images: at lower ones denoisers of all
#: classes agree, at higher ones nothing of the image is left.
_RANGE = (0.75, 8.0)

#: Images whose errors are kept at a time.
_TOGETHER = 512


@dataclass(frozen=True)
class DenoisingClassifier(GenerativeClassifier):
    """The class whose denoiser is nearest to the image, of noisy versions of it, by Bayes' rule.

    Li et al. (2023), "Your diffusion model is secretly a zero-shot classifier", and Clark and Jaini (2023).
    Up to a number that all classes share, the evidence lower bound of a diffusion model is ::

        -log p(x | class) <= integral of E |D(x + sigma n) - x|^2 / sigma^2 d(log sigma)

    (Kingma et al. 2021, eq. 19, in the notation of Karras et al. 2022). It is averaged over `draws` of noise,
    the same for all classes, so that most of their randomness cancels in the differences; log sigma goes over
    its range by the multiples of the golden ratio. After every `round` draws, classes are dropped whose mean
    error is above that of the best one by more than `margin` standard errors of the difference, as Li et al.
    do in stages: most images need a fraction of the evaluations.

    With weights other than ``1 / sigma^2`` and on a part of all noise levels, which classify better, the sum
    is no logarithm of a likelihood: probabilities need a temperature, see `calibrated`.

    Parameters
    ----------
    priors : sequence of Denoiser
        One for each class, such as ``[prior.of_class(k) for k in range(10)]``.
    prior_probabilities, temperature
        See `GenerativeClassifier`.
    sigma_range : pair of numbers, optional
        Lowest and highest noise level, in the unit of the images; by default 0.75 to 8 of their standard
        deviations.
    power : number
        Weights are ``sigma^-power``: two is that of the bound.
    draws, round : int
        Noisy versions of an image, at most, and after how many classes are dropped.
    margin : positive number
    seed : int
        Image i draws from ``seed + i``.
    """

    priors: Sequence[Denoiser]
    _: KW_ONLY
    sigma_range: tuple[float, float] | None = None
    power: float = 1.0
    draws: int = 64
    round: int = 8
    margin: float = 3.0
    seed: int = 0

    protocol: ClassVar[type] = Denoiser

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count(self.draws, "draws")
        as_count(self.round, "round", least=2)
        if not self.margin > 0:
            raise ParameterError(f"margin is a positive number of standard errors; got {self.margin!r}.")
        if not math.isfinite(self.power):
            raise ParameterError(f"power is a number; got {self.power!r}.")
        self._levels()

    def _levels(self) -> list[float]:
        """The noise level of each draw."""
        std = format_of(self.priors[0]).std
        if self.sigma_range is None and std is None:
            raise CapabilityError(
                f"{type(self.priors[0]).__name__} does not know the standard deviation of its images: give "
                "sigma_range=(lowest, highest), in their unit."
            )
        low, high = self.sigma_range or (_RANGE[0] * (std or 1), _RANGE[1] * (std or 1))
        if not 0 < low < high < math.inf:
            raise ParameterError(f"sigma_range is a pair of noise levels, low to high; got {(low, high)}.")
        golden = (5**0.5 - 1) / 2
        return [low * (high / low) ** ((0.5 + i * golden) % 1) for i in range(self.draws)]

    def _log_likelihoods(self, x: Tensor) -> Tensor:
        parts = x.detach().split(_TOGETHER)
        with torch.no_grad():
            found = [self._scored(part, self.seed + i * _TOGETHER) for i, part in enumerate(parts)]
        return torch.cat(found)

    def _scored(self, x: Tensor, seed: int) -> Tensor:
        """Of the images whose draws follow from the seeds after this one."""
        levels, draws = self._levels(), Draws(range(seed, seed + len(x)), device=x.device)
        # of each image, class and draw; classes that were dropped have no further ones
        errors = torch.zeros(len(x), len(self.priors), self.draws, dtype=torch.float64, device=x.device)
        active = torch.ones(errors.shape[:2], dtype=torch.bool, device=x.device)
        counts = torch.zeros_like(active, dtype=torch.long)
        for i, sigma in enumerate(levels):
            noise = draws(x)
            for k, prior in enumerate(self.priors):
                rows = active[:, k].nonzero()[:, 0]
                if len(rows):
                    clean = x[rows]
                    apart = prior.denoise(clean + sigma * noise[rows], sigma) - clean
                    error = apart.abs().square().flatten(1).sum(1, dtype=torch.float64)
                    errors[rows, k, i] = sigma**-self.power * error
            counts += active
            if (i + 1) % self.round == 0:
                mean, spread = _beside_the_best(errors, counts, active)
                active = active & ~(mean > self.margin * spread)
                # where one class is left there is nothing more to learn
                active = active & (active.sum(1, keepdim=True) > 1)
            if not bool(active.any()):
                break
        mean, _ = _beside_the_best(errors, counts, counts == counts.amax(1, keepdim=True))
        low, high = min(levels), max(levels)
        return -math.log(high / low) * mean


def _beside_the_best(errors: Tensor, counts: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Mean difference of each class's errors to those of the best class, and its standard error.

    The best is that of the least mean `among` some classes. Each class counts by the draws that it has had.
    """
    number = counts.clamp(min=1).double()
    best = (errors.sum(2) / number).masked_fill(~among, torch.inf).argmin(1)
    had = torch.arange(errors.shape[2], device=errors.device) < counts[..., None]
    apart = (errors - errors[torch.arange(len(errors), device=errors.device), best][:, None]) * had
    mean = apart.sum(2) / number
    squares = ((apart - mean[..., None]).square() * had).sum(2)
    return mean, (squares / (number * (number - 1).clamp(min=1))).sqrt()
