"""Distributions of the pixels of an image, given what a decoder returns for each.

Images are ``(N, C, H, W)`` in the unit of networks, -1 to 1, parameters ``(N, numbers * C, H, W)``: all
channels of the first parameter, then those of the second. Pixels and channels are independent given these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.nets.logistics import level_log_prob

__all__ = ["Bernoulli", "DiscretizedLogistic", "Gaussian", "Observation", "observation_model"]


class Observation(Protocol):
    """What a variational autoencoder asks of the distribution of its pixels."""

    @property
    def numbers(self) -> int:
        """Parameters for each pixel of each channel."""

    @property
    def levels(self) -> int | None:
        """Number of values that a pixel can take; None for real numbers, whose distribution is a density."""

    def nll(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Minus the logarithm of the probability of images, or of its density, shape ``(N,)``."""

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean images, differentiable."""

    def sample(self, parameters: Tensor, draws: Draws) -> Tensor:
        """Images that are drawn, each by its own generator."""


@dataclass(frozen=True)
class Bernoulli:
    """Pixels of two levels, Kingma and Welling (2014), appendix C.1; the parameter is the log odds.

    Values between the levels count as fractions of a pixel of the one and of the other level.
    """

    numbers = 1
    levels = 2

    def nll(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Minus the logarithm of the probability of images, shape ``(N,)``."""
        light = (images + 1) / 2
        each = light * F.logsigmoid(parameters) + (1 - light) * F.logsigmoid(-parameters)
        return -each.flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean images."""
        return torch.tanh(parameters / 2)

    def sample(self, parameters: Tensor, draws: Draws) -> Tensor:
        """Images that are drawn, each by its own generator."""
        return torch.where(_uniform(parameters, draws) < torch.sigmoid(parameters), 1.0, -1.0).to(parameters)


@dataclass(frozen=True)
class Gaussian:
    """Real pixels with mean and standard deviation of their own, Kingma and Welling (2014), appendix C.2.

    The parameters are the mean and the logarithm of what is added to the least standard deviation.

    Parameters
    ----------
    least : positive number
        Without it the density of pixels that are the same in all images has no bound.
    """

    least: float = 0.01

    numbers = 2
    levels = None

    def nll(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Minus the logarithm of the density of images, shape ``(N,)``."""
        mean, std = self._mean_and_std(parameters)
        square = ((images - mean) / std).square()
        return (square / 2 + std.log() + math.log(2 * math.pi) / 2).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean images."""
        return self._mean_and_std(parameters)[0]

    def sample(self, parameters: Tensor, draws: Draws) -> Tensor:
        """Images that are drawn, each by its own generator."""
        mean, std = self._mean_and_std(parameters)
        return mean + std * draws(mean)

    def _mean_and_std(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = parameters.chunk(2, dim=1)
        return mean, self.least + log_std.exp()


@dataclass(frozen=True)
class DiscretizedLogistic:
    """Pixels of a number of levels: a mixture of logistics, integrated over the cell of each level.

    Kingma et al. (2016), appendix C; mixtures of them as in Salimans et al. (2017), eq. 2. The parameters are
    logits, means and logarithms of scales, each of all mixtures. Values between two levels count as the
    center of a cell of the same width.

    Parameters
    ----------
    levels : int
    mixtures : int
    """

    levels: int = 256
    mixtures: int = 1

    def __post_init__(self) -> None:
        as_count(self.levels, "levels", least=2)
        as_count(self.mixtures, "mixtures")

    @property
    def numbers(self) -> int:
        """Parameters for each pixel of each channel."""
        return 3 * self.mixtures

    def nll(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Minus the logarithm of the probability of images, shape ``(N,)``."""
        logits, means, log_scales = self._split(parameters)
        each = level_log_prob(images[:, None], means, log_scales, self.levels)
        return -torch.logsumexp(F.log_softmax(logits, dim=1) + each, dim=1).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Mean of the logistics clipped to -1 to 1: that of the levels, with the integral for their sum.

        The mean of a clipped variable is the integral of the probability that it is larger,
        ``sigmoid((mean - t) / scale)``, over t from -1 to 1.
        """
        logits, means, log_scales = self._split(parameters)
        scale = log_scales.exp()
        # the integral of sigmoid is -log(sigmoid(-t)), exact where softplus(t) takes a shortcut
        from_low, from_high = F.logsigmoid(-(means + 1) / scale), F.logsigmoid(-(means - 1) / scale)
        clipped = scale * (from_high - from_low) - 1
        return (torch.softmax(logits, dim=1) * clipped).sum(1)

    def sample(self, parameters: Tensor, draws: Draws) -> Tensor:
        """Images that are drawn, each by its own generator."""
        logits, means, log_scales = self._split(parameters)
        cumulative = torch.softmax(logits, dim=1).cumsum(1)
        chosen = (_uniform(means[:, 0], draws)[:, None] > cumulative[:, :-1]).sum(1, keepdim=True)
        mean, scale = means.gather(1, chosen)[:, 0], log_scales.gather(1, chosen)[:, 0].exp()
        normal = draws(mean)
        # the logistic variable at the same quantile
        value = mean + scale * (torch.special.log_ndtr(normal) - torch.special.log_ndtr(-normal))
        last = self.levels - 1
        return 2 * ((value + 1) / 2 * last).round().clamp(0, last) / last - 1

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and logarithms of scales, each ``(N, mixtures, C, H, W)``."""
        channels = parameters.shape[1] // self.numbers
        logits, means, log_scales = parameters.unflatten(1, (3, self.mixtures, channels)).unbind(1)
        # far below the distance of 256 levels, as in Salimans et al. (2017)
        return logits, means, log_scales.clamp(min=-7.0)


def observation_model(name: str, levels: int | None, mixtures: int) -> Observation:
    """The distribution of that name.

    Raises
    ------
    ParameterError
        Where there is none, or its images have another number of levels.
    """
    if name not in ("logistic", "bernoulli", "gaussian"):
        raise ParameterError(f"observation is 'logistic', 'bernoulli' or 'gaussian'; got {name!r}.")
    if name == "logistic":
        if levels is None:
            raise ParameterError(
                "Images with the observation 'logistic' have a number of levels: give levels."
            )
        return DiscretizedLogistic(levels, mixtures)
    model: Observation = Bernoulli() if name == "bernoulli" else Gaussian()
    if levels != model.levels:
        raise ParameterError(
            f"Images with the observation {name!r} have levels={model.levels}; got {levels}."
        )
    return model


def _uniform(like: Tensor, draws: Draws) -> Tensor:
    """Uniform numbers from 0 to 1."""
    return torch.special.ndtr(draws(like))
