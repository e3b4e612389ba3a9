"""The objective of latent variables: a data term of what they are decoded to, and a penalty of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invgen.core.batching import per_element
from invgen.core.counting import record_call
from invgen.problem import Problem

__all__ = ["Objective", "Point", "chosen"]

#: Numbers of all images whose derivatives are taken at once; activations take about a hundred times as many.
_NUMBERS = 2**20


class Point(NamedTuple):
    """Latent variables and what the objective is there; all have the batch axes of the problem.

    Attributes
    ----------
    z : tensor, shape (*batch, d)
        In one axis.
    data, penalty : tensor, shape of the batch
        Both terms of the objective; infinite where the image or a derivative leaves the finite numbers.
    gradient : tensor, shape (*batch, d)
        Of the objective; zero where that is infinite.
    image : tensor, shape (*batch, *image)
        What z is decoded to; zero where the objective is infinite.
    """

    z: Tensor
    data: Tensor
    penalty: Tensor
    gradient: Tensor
    image: Tensor

    @property
    def value(self) -> Tensor:
        """The objective, shape of the batch."""
        return self.data + self.penalty


def chosen(which: Tensor, new: Any, old: Any) -> Any:
    """`new` for the batch elements of `which`, else `old`; of tensors, and of tuples and mappings of them."""
    if isinstance(new, Tensor):
        return torch.where(per_element(which, new.ndim - which.ndim), new, old)
    if isinstance(new, dict):
        return {name: chosen(which, part, old[name]) for name, part in new.items()}
    return type(new)(*(chosen(which, *parts) for parts in zip(new, old, strict=True)))


class Objective:
    """``-log p(y | A(decode(z))) + penalty(z)`` and its gradient, for any operator and noise.

    The data term's gradient with respect to the image is that of the noise model, taken back by the
    operator's adjoint; from there it is PyTorch's.

    Parameters
    ----------
    problem : Problem
        Its first batch axis counts the restarts; they are taken some at a time where all would fill the
        memory.
    decode : callable(z) -> images
        Of latent variables ``(*batch, *shape)``.
    penalty : callable(z, image) -> tensor of the batch's shape
    shape : tuple of int
        Of the latent variables of one image.
    prior : Generator
        Whose evaluations are counted: one for each restart.
    """

    def __init__(
        self,
        problem: Problem,
        decode: Callable[[Tensor], Tensor],
        penalty: Callable[[Tensor, Tensor], Tensor],
        shape: tuple[int, ...],
        prior: Any,
    ) -> None:
        self._problem, self._decode, self._penalty = problem, decode, penalty
        self._shape, self._prior = shape, prior
        restarts, *batch = problem.batch_shape
        at_once = max(1, _NUMBERS // max(1, math.prod(batch) * problem.operator.domain.size))
        self._parts = [range(i, min(i + at_once, restarts)) for i in range(0, restarts, at_once)]

    def __call__(self, z: Tensor) -> Point:
        """The point of latent variables ``(*batch, d)``."""
        record_call(self._prior)
        if len(self._parts) <= 1:
            return self._point(self._problem, z)
        single = self._problem.element(0)
        points = [self._point(single.repeated(len(part)), z[part.start : part.stop]) for part in self._parts]
        return Point(*map(torch.cat, zip(*points, strict=True)))

    def _point(self, problem: Problem, z: Tensor) -> Point:
        space = problem.operator.domain
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            latent = at.unflatten(-1, self._shape)
            decoded = self._decode(latent)
            finite = decoded.isfinite().all(space.axes)
            image = chosen(finite, decoded, torch.zeros_like(decoded))
            penalty = self._penalty(latent, image)
        found = image.detach()
        data, slope = problem.value_and_gradient(found)
        # a penalty that is constant, such as that of a weight of zero, has no derivative
        terms = [(image, slope), (penalty, torch.ones_like(penalty))]
        outputs, cotangents = zip(*(term for term in terms if term[0].requires_grad), strict=True)
        (gradient,) = torch.autograd.grad(outputs, at, cotangents)
        penalty = penalty.detach()
        finite = finite & data.isfinite() & penalty.isfinite() & gradient.isfinite().all(-1)
        infinity, zero = torch.full_like(data, torch.inf), torch.zeros_like
        return Point(
            z,
            chosen(finite, data, infinity),
            chosen(finite, penalty, infinity),
            chosen(finite, gradient, zero(gradient)),
            chosen(finite, found, zero(found)),
        )
