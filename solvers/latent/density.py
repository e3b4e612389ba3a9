"""The posterior of latent variables."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.batching import per_element
from invgen.core.counting import record_call
from invgen.core.errors import CapabilityError, ShapeError
from invgen.operators import Space
from invgen.priors.base import Generator
from invgen.problem import Problem
from invgen.solvers.sampling.metropolis import Point

__all__ = ["LatentPosterior"]


class LatentPosterior:
    """``p(z | y)``, proportional to ``p(y | A G(z))^power p(z)``, and its gradient.

    Parameters
    ----------
    problem : Problem
        In images, in the unit of the generator's.
    generator : Generator
    who : str
        Who asks, for messages.
    """

    def __init__(self, problem: Problem, generator: Generator, who: str) -> None:
        self._problem, self._generator, self._who = problem, generator, who
        self.space = Space(tuple(generator.latent_shape))

    def zeros(self) -> Tensor:
        """Latent variables of zero for each batch element."""
        like = self._problem.zeros().real
        return like.new_zeros(*self._problem.batch_shape, *self.space.shape)

    def __call__(self, z: Tensor, power: float = 1.0) -> Point:
        """Minus the logarithm of the density at z, its gradient, and the image, counted as one evaluation.

        Outside of the finite numbers there is no density: the energy is infinite there, the gradient zero.
        An integrator with such a gradient is reversible and keeps volumes as with any other, and what it ends
        at is not accepted.

        Raises
        ------
        ShapeError, DtypeError
            Where the images are not those of the operator.
        CapabilityError
            Where they have no derivative in PyTorch.
        """
        problem, generator, images = self._problem, self._generator, self._problem.operator.domain
        record_call(generator)
        finite = z.isfinite().flatten(len(problem.batch_shape)).all(-1)
        with torch.enable_grad():
            at = torch.where(_each(finite, z), z.detach(), 0).requires_grad_()
            image = generator.decode(at)
            if image.shape != (*problem.batch_shape, *images.shape):
                made = tuple(image.shape[len(problem.batch_shape) :])
                raise ShapeError(
                    f"{type(generator).__name__} makes images of the shape {made}; those of "
                    f"{problem.operator.name} have {images.shape}."
                )
            if not image.requires_grad:
                raise CapabilityError(
                    f"{self._who} needs the derivative of the generator; {type(generator).__name__}.decode "
                    "has none in PyTorch: it is computed without a graph, or outside of PyTorch."
                )
            log_prior = generator.latent_log_prob(at)
            finite = finite & image.isfinite().flatten(len(problem.batch_shape)).all(-1)
            seen = torch.where(_each(finite, image), image, 0).detach()
            misfit, gradient = problem.value_and_gradient(seen)
            # the chain rule through the generator: a function with the gradient of the energy
            linear = power * images.inner(gradient, image).real - log_prior
            (slope,) = torch.autograd.grad(linear.sum(), at)
        energy = power * misfit - log_prior.detach()
        finite = finite & energy.isfinite()
        energy = torch.where(finite, energy, torch.inf)
        slope = torch.where(_each(finite, slope) & slope.isfinite(), slope, 0)
        return Point(z, energy, slope, seen)


def _each(value: Tensor, like: Tensor) -> Tensor:
    """One number for each batch element, with the axes of `like`."""
    return per_element(value, like.ndim - value.ndim)
