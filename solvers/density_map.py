"""The most probable image given the data, by the gradient of a prior's density."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError, DivergenceError
from invgen.priors.base import Density, Energy
from invgen.problem import Problem
from invgen.solvers.latent.density import LatentDensity
from invgen.solvers.lbfgs import LBFGS
from invgen.solvers.point import Point
from invgen.solvers.posterior_mode import PosteriorMode
from invgen.solvers.scale import in_prior_unit, start_image
from invgen.solvers.state import State

__all__ = ["DensityMAP"]


@dataclass(frozen=True)
class DensityMAP(PosteriorMode):
    """Maximum a posteriori estimation with a density of images that can be differentiated.

    Minimizes, over the pixels of the image,

        -log p(y | A(x)) - weight log p(x)

    by L-BFGS, so that no iterate is less probable than the start. Dave, Vadathya, Subramanyam, Baburajan and
    Mitra (2018), "Solving inverse computational imaging problems using deep pixel-level prior", do so with
    an autoregressive prior, by gradient ascent: see `invgen.priors.Autoregressive.energy`. Where the density
    has several maxima, as such priors have, it is one near the start. The most probable image is smoother
    than images of the prior are: for typical ones draw samples.

    Parameters
    ----------
    prior : Density or Energy
        With a derivative in PyTorch. Of a prior that is both, the energy is taken. On a volume it is one of
        each slice.
    weight : number
        Of the prior's part: with one, the default, the most probable image given the data is found.
    scale : positive number, tensor with one for each batch element, or "auto"
        The value in the image that becomes the upper end of the prior's value range: white, in its unit.
        "auto" estimates it from a rough reconstruction; with an operator that is not linear, or noise that is
        not Gaussian, it is that upper end itself. Without effect on priors without a value range.
    iterations : int
        Evaluations of the density and its derivative.
    tolerance : number
        A batch element ends where its distance from the minimum, in standard deviations of the posterior, is
        at most this.

    Raises
    ------
    CapabilityError
        For a prior whose density has no derivative.
    DivergenceError
        Where the start has no density, or the data cannot be those of it.
    """

    prior: Density | Energy
    _: KW_ONLY
    iterations: int = 500
    tolerance: float = 1e-4

    protocols: ClassVar[tuple[type, ...]] = (Density, Energy)

    def initial(self, problem: Problem) -> Tensor:
        """A rough image within the prior's value range."""
        inner, factor = in_prior_unit(problem, self.scale, self.prior)
        return factor * start_image(inner, self.prior)

    def prepare(self, problem: Problem) -> LatentDensity:
        """The density of the image, whose pixels are its variables; of complex ones both parts."""
        space = problem.operator.domain
        parts = (2,) if space.field == "complex" else ()

        def image(pixels: Tensor) -> Tensor:
            return torch.view_as_complex(pixels) if parts else pixels

        def penalty(pixels: Tensor, image: Tensor) -> Tensor:
            batch = image.shape[: image.ndim - len(space.shape)]
            # of a volume there is one for each slice
            return self.weight * self._energy(image).reshape(*batch, -1).sum(-1)

        return LatentDensity(problem.repeated(1), image, penalty, (*space.shape, *parts), self.prior)

    def _energy(self, image: Tensor) -> Tensor:
        """Minus the logarithm of the density."""
        prior = self.prior
        value = prior.energy(image) if isinstance(prior, Energy) else -prior.log_prob(image)
        if not value.requires_grad:
            raise CapabilityError(
                f"{self.name} needs the derivative of the density; that of {type(prior).__name__} has none "
                "in PyTorch. Take a Flow, an Autoregressive prior of logistics or a GaussianMixture."
            )
        return value

    def states(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the images, in their own unit."""
        inner, factor = in_prior_unit(problem, self.scale, self.prior)
        first = State(state.x / factor, **state.variables)
        for reached in self.steps(inner, self.prepare(inner), first):
            yield State(factor * reached.x, reached.optimality, **reached.variables)

    def steps(self, problem: Problem, density: Any, state: State) -> Iterator[State]:
        """Move the image up the density."""
        descent = LBFGS()
        point = Point(**state.get("point", lambda: self._first(problem, density, state.x)._asdict()))
        memory = state.get("memory", lambda: descent.begin(point))
        while True:
            point, memory, measure = descent.advance(density, point, memory)
            yield State(
                point.image[0],
                measure[0],
                penalty=point.penalty[0],
                point=point._asdict(),
                memory=memory,
            )

    def _first(self, problem: Problem, density: LatentDensity, x: Tensor) -> Point:
        """The point of the first image."""
        pixels = torch.view_as_real(x) if x.is_complex() else x
        point = density(pixels.flatten(len(problem.batch_shape))[None])
        if not bool(point.energy.isfinite().all()):
            raise DivergenceError(
                f"{self.name} starts at an image that {type(self.prior).__name__} has no density of, or that "
                f"{problem.operator.name} with {problem.likelihood.name} noise cannot have measured: give "
                "another, as x0."
            )
        return point

    @property
    def remedy(self) -> str:
        """What to do about images that explode."""
        return "Check the prior's density and its derivative, scale and noise level."
