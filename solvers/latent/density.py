"""A density of latent variables: what optimizers maximize and samplers draw from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.core.counting import record_call
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DtypeError, ShapeError
from invgen.priors.base import Generator
from invgen.problem import Problem
from invgen.solvers.point import Point

__all__ = ["LatentDensity", "check_generator"]

#: Numbers of all images whose derivatives are taken at once; activations take about a hundred times as many.
_NUMBERS = 2**20


class LatentDensity:
    """Minus the logarithm of a density, ``-log p(y | A(decode(z))) + penalty(z)``, and its gradient.

    For any operator and noise: the data term's gradient with respect to the image is that of the problem;
    from there it is PyTorch's.

    Parameters
    ----------
    problem : Problem
        In images, in the unit of the generator's. Its first batch axis counts restarts or samples; they are
        taken some at a time where all would fill the memory.
    decode : callable(z) -> images
        Of latent variables ``(*batch, *shape)``.
    penalty : callable(z, image) -> tensor of the batch's shape
    shape : tuple of int
        Of the latent variables of one image.
    prior : object
        Whose evaluations are counted: one for each restart or sample.
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
        count, *batch = problem.batch_shape
        at_once = max(1, _NUMBERS // max(1, math.prod(batch) * problem.operator.domain.size))
        self._parts = [range(i, min(i + at_once, count)) for i in range(0, count, at_once)]

    def __call__(self, z: Tensor, power: float = 1.0) -> Point:
        """The point of latent variables ``(*batch, d)``, with the data term times `power`.

        Where latent variables, image, energy or gradient leave the finite numbers there is no density: the
        energy is infinite, gradient and image are zero. An integrator with such a gradient is reversible and
        keeps volumes as with any other, and what it ends at is not accepted.
        """
        record_call(self._prior)
        if len(self._parts) <= 1:
            return self._point(self._problem, z, power)
        single = self._problem.element(0)
        points = [
            self._point(single.repeated(len(part)), z[part.start : part.stop], power) for part in self._parts
        ]
        return Point(*map(torch.cat, zip(*points, strict=True)))

    def _point(self, problem: Problem, z: Tensor, power: float) -> Point:
        finite, zero = z.isfinite().all(-1), torch.zeros_like
        with torch.enable_grad():
            at = chosen(finite, z.detach(), zero(z)).requires_grad_()
            latent = at.unflatten(-1, self._shape)
            decoded = self._decode(latent)
            # the largest of an image is NaN where any of it is
            largest = decoded.detach().abs().amax(problem.operator.domain.axes)
            finite = finite & largest.isfinite()
            image = chosen(finite, decoded, zero(decoded))
            penalty = self._penalty(latent, image)
        found = image.detach()
        data, slope = (power * term for term in problem.value_and_gradient(found))
        # a penalty that is constant, such as that of a weight of zero, has no derivative
        terms = [(image, slope), (penalty, torch.ones_like(penalty))]
        outputs, cotangents = zip(*(term for term in terms if term[0].requires_grad), strict=True)
        (gradient,) = torch.autograd.grad(outputs, at, cotangents)
        penalty = penalty.detach()
        finite = finite & data.isfinite() & penalty.isfinite() & gradient.isfinite().all(-1)
        infinity = torch.full_like(data, torch.inf)
        return Point(
            z,
            chosen(finite, data, infinity),
            chosen(finite, penalty, infinity),
            chosen(finite, gradient, zero(gradient)),
            chosen(finite, found, zero(found)),
        )


def check_generator(prior: Generator, who: str, problem: Problem) -> None:
    """Raise where images of a generator are not those of a problem, or have no derivative of their own.

    Raises
    ------
    ShapeError, DtypeError
        For images of another shape or field than those of the operator.
    CapabilityError
        Without a derivative in PyTorch; where the image of latent variables depends on what else is decoded.
    """
    name, space, like = type(prior).__name__, problem.operator.domain, problem.zeros()
    zeros = torch.zeros(3, *prior.latent_shape, dtype=like.dtype.to_real(), device=like.device)
    z = Draws(range(3), device=zeros.device)(zeros)
    with torch.enable_grad():
        found = prior.decode(z[:2].clone().requires_grad_())
    pair, differentiable = found.detach(), found.requires_grad
    if tuple(pair.shape) != (2, *space.shape):
        raise ShapeError(
            f"{name} makes images of the shape {tuple(pair.shape[1:])}; those of {problem.operator.name} "
            f"have {space.shape}. Build the operator for such images, or take another generator."
        )
    if pair.is_complex() != (space.field == "complex"):
        field = "complex" if pair.is_complex() else "real"
        raise DtypeError(f"{name} makes {field} images; those of {problem.operator.name} are {space.field}.")
    if not differentiable:
        raise CapabilityError(
            f"{who} needs the derivative of decode; that of {name} has none in PyTorch. It must not run "
            "under torch.no_grad, nor leave tensors for NumPy."
        )
    apart = (pair[0] - prior.decode(z[::2])[0]).abs().amax()  # the same with another one beside it
    if bool(apart > 1e-3 * pair.abs().amax()):
        raise CapabilityError(
            f"The image that {name} makes of latent variables depends on what else is decoded, or changes "
            "from call to call: batch normalization or dropout in training mode. Call network.eval() first, "
            "or give the network itself to priors.from_module, which copies it in that mode."
        )
