"""A prior that is checked, with images and latent variables to check it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.operators import Space
from invgen.priors.base import Sampler
from invgen.priors.image_format import ImageFormat, format_of
from invgen.testing.report import Checks

__all__ = ["ROUNDING", "SINGLE", "Rule", "Subject", "check_gradient", "single"]

#: Batched equals looped to the rounding of a deep network in double precision.
ROUNDING = 1e-9

#: Single precision, relative to double.
SINGLE = 1e-3

#: Step of central differences, relative to the unit of the argument, directions, and their largest error.
_STEP, _DIRECTIONS, _ERROR = 1e-6, 3, 1e-5


@dataclass(frozen=True)
class Subject:
    """A prior under check.

    Attributes
    ----------
    prior : object
    space : Space
        Of one image.
    checks : Checks
    seed : int
        Of all that is drawn.
    sampling : mapping
        Keyword arguments of the prior's `sample`.
    given : tensor, optional
        Images to take the density of, in place of the prior's own.
    """

    prior: Any
    space: Space
    checks: Checks
    seed: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    given: Tensor | None = None

    @property
    def images(self) -> ImageFormat:
        """The format of the prior's images."""
        return format_of(self.prior)

    def draw(self, n: int, seed: int) -> Tensor:
        """Samples of the prior."""
        return self.prior.sample(n, seed, **self.sampling)

    @cached_property
    def drawn(self) -> Tensor:
        """Three samples of the seed."""
        return self.draw(3, self.seed)

    def x(self) -> Tensor:
        """A batch of three images in double precision: given, the prior's own, or else random ones."""
        return self._x.clone()

    @cached_property
    def _x(self) -> Tensor:
        dtype = torch.complex128 if self.space.field == "complex" else torch.float64
        if self.given is not None:
            return self.given.to(dtype)
        if isinstance(self.prior, Sampler):
            return self.drawn.to(dtype)
        return self._random()

    def _random(self) -> Tensor:
        """Uniform in the value range, where there is one."""
        images, generator = self.images, torch.Generator().manual_seed(self.seed)
        x = self.space.random((3,), seed=self.seed, dtype=torch.float64)
        if images.value_range is None or x.is_complex():
            return x
        low, high = images.value_range
        uniform = low + (high - low) * torch.rand(x.shape, generator=generator, dtype=torch.float64)
        return uniform if images.levels is None else images.from_levels(images.to_levels(uniform), uniform)

    def z(self) -> Tensor:
        """A batch of three latent variables in double precision, Gaussian."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(3, *self.prior.latent_shape, generator=generator, dtype=torch.float64)


#: The checks of one rule.
Rule = Callable[[Subject], None]


def single(x: Tensor) -> Tensor:
    """In single precision."""
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


def check_gradient(
    name: str,
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    subject: Subject,
    gradient: Callable[[Tensor], Tensor] | None = None,
    unit: float = 1.0,
) -> None:
    """Compare a gradient with central differences along random directions.

    Parameters
    ----------
    name : str
        Of the rule.
    function : callable(x) -> tensor
    x : tensor in double precision
    subject : Subject
    gradient : callable(x) -> tensor of x's shape, optional
        Of the function's sum. By default that of PyTorch, of a sum with weights that are not all alike.
    unit : float
        Of x, of which the step is a small part.
    """
    generator = torch.Generator().manual_seed(subject.seed + 1)
    slope, total = _by_autograd(function, x) if gradient is None else (gradient(x), _plain_sum(function))
    subject.checks.true(f"{name}: shape", slope.shape == x.shape, f"it has the shape {tuple(slope.shape)}")
    step = _STEP * unit
    for _ in range(_DIRECTIONS):
        direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        with torch.no_grad():
            difference = float(total(x + step * direction) - total(x - step * direction)) / (2 * step)
        along = float((slope.conj() * direction).real.sum())
        size = max(float(torch.linalg.vector_norm(slope)), abs(difference), 1e-6 / unit)
        meaning = "the derivative is not that of central differences"
        subject.checks.at_most(name, abs(along - difference) / size, _ERROR, meaning)


def _plain_sum(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x).sum()


def _by_autograd(
    function: Callable[[Tensor], Tensor], x: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The derivative of a weighted sum, and that sum."""

    def total(at: Tensor) -> Tensor:
        value = function(at)
        weight = 1 + torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape).sin() / 2
        return (weight * (value.real + value.imag if value.is_complex() else value)).sum()

    at = x.clone().requires_grad_()
    with torch.enable_grad():
        value = total(at)
    if not value.requires_grad:
        raise CapabilityError("There is no derivative in PyTorch.")
    return torch.autograd.grad(value, at)[0], total
