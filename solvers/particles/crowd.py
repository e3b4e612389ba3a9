"""The particles of one measurement: where they are, what they weigh, and whom they descend from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.problem import Problem
from invgen.solvers.particles.weights import effective_number, log_mean, systematic

__all__ = ["POPULATIONS", "Cloud", "Crowd", "elements", "taken"]

Particles = TypeVar("Particles", bound=tuple[Tensor, ...])

#: Populations that no particle leaves: what they disagree in is error.
POPULATIONS = 2


class Cloud(NamedTuple):
    """Particles at a noise level.

    Attributes
    ----------
    noisy : tensor, shape (count, *image)
    log_weights : float64 tensor, shape (count,)
        Their means estimate the evidence: they are not normalized. The first half of them is one population,
        the second another.
    ancestors : tensor of int, shape (count,)
        Which particle of the first level each descends from.
    evaluations : tensor of int, shape (count,)
        Number of evaluations of the denoiser so far, for each.
    """

    noisy: Tensor
    log_weights: Tensor
    ancestors: Tensor
    evaluations: Tensor


class Crowd:
    """The problem of one measurement for many particles, some of which are moved at a time.

    Parameters
    ----------
    problem : Problem
        Without batch axes.
    count, each : int
        Number of particles, and of those moved at a time.
    make : callable
        Data step of the problem of some particles.
    """

    def __init__(self, problem: Problem, count: int, each: int, make: Callable[[Problem], Any]) -> None:
        self.problem, self.count, self.each = problem, count, each
        self.space = problem.operator.domain
        sizes = [min(each, count - first) for first in range(0, count, each)]
        of_size = {size: make(problem.repeated(size)) for size in set(sizes)}
        self._steps = [of_size[size] for size in sizes]

    @property
    def data(self) -> Any:
        """The data step of the first of them."""
        return self._steps[0]

    def start(self, x: Tensor, sigma: float, draws: Draws) -> Cloud:
        """Particles of noise around an image, all of one weight."""
        x = x + sigma * self.noise(x, draws)
        weights = torch.zeros(self.count, dtype=torch.float64, device=x.device)
        ancestors = torch.arange(self.count, device=x.device)
        return Cloud(x, weights, ancestors, torch.zeros_like(ancestors))

    def noise(self, like: Tensor, draws: Draws) -> Tensor:
        """White noise of the shape of `like`, an image or measurement, for each particle."""
        return draws(like.new_empty(1, self.count, *like.shape))[0]

    def parts(self, *values: Tensor) -> Iterator[tuple[Any, ...]]:
        """Data step and values of those that are moved at a time."""
        return zip(self._steps, *(value.split(self.each) for value in values), strict=True)

    def populations(self, values: Tensor) -> Tensor:
        """One number for each particle, of the shape (populations, particles of each)."""
        return values.reshape(POPULATIONS, -1)

    def effective(self, log_weights: Tensor) -> Tensor:
        """The effective numbers of the populations together."""
        return effective_number(self.populations(log_weights)).sum()

    def drawn_anew(self, log_weights: Tensor, threshold: float, draws: Draws) -> tuple[Tensor, Tensor]:
        """Which particles go on, and with what weights.

        In populations whose effective number is less than this part of them they are drawn by their weights,
        and then have one weight, the mean of those before; the others stay as they are.
        """
        weights = self.populations(log_weights)
        n = weights.shape[-1]
        few = (effective_number(weights) < threshold * n)[:, None]
        index = systematic(weights, n, uniforms(weights, draws))
        index = torch.where(few, index, torch.arange(n, device=index.device))
        weights = torch.where(few, log_mean(weights)[:, None], weights)
        first = n * torch.arange(POPULATIONS, device=index.device)[:, None]
        return (index + first).flatten(), weights.flatten()

    def samples(self, images: Tensor, log_weights: Tensor, n: int, draws: Draws) -> Tensor:
        """Some images by their weights, of all populations by their evidence."""
        return images[systematic(log_weights, n, uniforms(log_weights, draws))]


def taken(cloud: Particles, index: Tensor) -> Particles:
    """The particles of the indices."""
    return type(cloud)(*(part[index] for part in cloud))


def uniforms(log_weights: Tensor, draws: Draws) -> Tensor:
    """A uniform number for each row of weights."""
    return torch.special.ndtr(draws(log_weights.new_empty(1, *log_weights.shape[:-1]))[0])


def elements(problem: Problem) -> list[Problem]:
    """The problems of a batch one by one."""
    if not problem.batch_shape:
        return [problem]
    return [one for i in range(problem.batch_shape[0]) for one in elements(problem.element(i))]
