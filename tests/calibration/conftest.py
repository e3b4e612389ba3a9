"""Solvers of one line, and problems whose truth is known."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

import invgen as ig
from invgen.noise import Gaussian
from invgen.operators import Fourier, Identity
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

SHAPE = (6, 7)


@dataclass(frozen=True)
class Mean(Solver):
    """The posterior mean of white images of unit variance, by a factor, seen with white noise."""

    shrinkage: float = 0.8

    def __call__(self, problem, **ignored):
        return Reconstruction(self.shrinkage * problem.measurement)


@dataclass(frozen=True)
class Sampler(Solver):
    """Samples about the measurement, whose deviation is `spread`: too small or too large."""

    prior: Any = None
    spread: float = 0.1
    draws_samples: ClassVar[bool] = True

    def __call__(self, problem, *, samples=1, seed=None, **ignored):
        y, generator = problem.measurement, torch.Generator().manual_seed(seed)
        # the same for each element of a batch, as of other samplers
        n = torch.randn(samples, *problem.operator.domain.shape, generator=generator, dtype=y.dtype)
        n = n.reshape(samples, *(1,) * len(problem.batch_shape), *n.shape[1:])
        drawn = y + self.spread * n
        return Reconstruction(drawn.mean(0), drawn, drawn.std(0))


def measured(count, seed, std=0.5, scale=1.0, complex=False):
    """White images and their measurements, each a problem."""
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if complex else torch.float64
    x = scale * torch.randn(count, *SHAPE, generator=generator, dtype=dtype)
    noise = Gaussian(scale * std)
    A = Fourier(SHAPE) if complex else Identity(SHAPE)
    y = [noise.sample(A(each), seed=seed * 10_000 + i) for i, each in enumerate(x)]
    return [(ig.Problem(A, each, noise), truth) for each, truth in zip(y, x, strict=True)]


@pytest.fixture(scope="session")
def problems():
    return measured(60, seed=1)
