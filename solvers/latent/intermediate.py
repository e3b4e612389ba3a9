"""Intermediate layer optimization: latent variables first, then what later layers see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.priors.base import Staged, require
from invgen.priors.generators.stages import Stage
from invgen.problem import Problem
from invgen.solvers.latent.adam import Adam, check_rate
from invgen.solvers.latent.base import Descent, LatentSolver
from invgen.solvers.latent.density import LatentDensity
from invgen.solvers.point import Density
from invgen.solvers.state import State

__all__ = ["IntermediateLayerOptimization", "l1_ball"]


@dataclass(frozen=True, kw_only=True)
class IntermediateLayerOptimization(LatentSolver):
    """Intermediate layer optimization (ILO), Daras, Dean, Jalal and Dimakis (2021).

    A generator is a chain of layers, ``G = G_k ... G_1 G_0``. First its latent variables are optimized as by
    `LatentOptimization`; then, one layer after the other, what the next layer sees is, within an l1 ball
    around what the layers before give: images become possible that the generator does not make, yet that are
    few of its features away. By Adam, each step projected onto the ball.

    Parameters
    ----------
    prior : Staged
        A generator with ``stages(like)``: GAN, VAE, a ``torch.nn.Sequential`` in `priors.from_module`.
    layers : int
        Number of layers whose inputs are optimized after the latent variables.
    radius : number
        Of the l1 balls, relative to the l1 norm of their centers.
    learning_rate : positive number
        Of the latent variables. That of features is relative to their root mean square.
    iterations : int
        In all, the same number for the latent variables and for each layer.
    restarts, weight, scale
        See `LatentSolver`; the weight is of the latent variables alone. All iterations are made, unless the
        image stands still: the tolerance is zero.
    """

    layers: int = 2
    radius: float = 0.1
    learning_rate: float = 0.05
    iterations: int = 600
    tolerance: float = 0.0

    counts: ClassVar[dict[str, int]] = {**LatentSolver.counts, "layers": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Staged)
        check_rate(self.learning_rate)
        if not self.radius >= 0:
            raise ParameterError(f"radius is a number from zero on; got {self.radius}.")
        if self.iterations <= self.layers:
            raise ParameterError(
                f"There is one iteration at least for the latent variables and for each of {self.layers} "
                f"layers; got iterations={self.iterations}."
            )

    def chain(self, problem: Problem) -> list[Stage]:
        """The stages of the generator.

        Raises
        ------
        ParameterError
            Where there are fewer than the layers that are to be optimized.
        """
        assert isinstance(self.prior, Staged)
        stages = list(self.prior.stages(problem.zeros().real))
        if self.layers > len(stages) - 1:
            raise ParameterError(
                f"{type(self.prior).__name__} has {len(stages)} stages, so that the inputs of up to "
                f"{len(stages) - 1} layers can be optimized after the latent variables; got "
                f"layers={self.layers}. A torch.nn.Sequential has a stage for each layer with parameters."
            )
        return stages

    def prepare(self, problem: Problem) -> list[Stage]:
        """The stages."""
        return self.chain(problem)

    def descent(self) -> Descent:
        """Adam, of the latent variables."""
        return Adam(self.learning_rate)

    def steps(self, problem: Problem, stages: Any, state: State) -> Iterator[State]:
        """Move the latent variables, then the inputs of layer after layer."""
        shapes = _shapes(self.prior.latent_shape, stages[: self.layers], problem.zeros().real)
        each, at = self.iterations // (self.layers + 1), state.get("at", lambda: None)
        center = state.get("center", lambda: state["z"])
        latents, penalty = (state.get(name, lambda: None) for name in ("latents", "penalty"))
        first = state.get("k", lambda: 0)
        for k in range(first, self.iterations):
            layer = min(k // each, self.layers)
            begins = k == layer * each
            if begins and layer:
                center = _applied(stages[layer - 1], at["point"]["x"], shapes[layer - 1])
            if begins or k == first:
                density = self._density(problem, stages[layer:], shapes[layer], layer)
                descent = self._of_features(center) if layer else self.descent()
            if begins:
                placed = self.placed(density, descent, center)
                # what has ended or diverged stays so
                kept = {} if at is None else {name: placed[name] & at[name] for name in ("finite", "moving")}
                at = placed | kept
            at, measure = self.moved(density, descent, at)
            if not layer:
                latents, penalty = at["point"]["x"], at["point"]["penalty"]
            yield State(
                at["point"]["image"],
                measure,
                k=k + 1,
                center=center,
                at=at,
                latents=latents,
                penalty=penalty,
                finite=at["finite"],
            )

    def _density(self, problem: Problem, rest: list[Stage], shape: tuple[int, ...], layer: int) -> Density:
        """Of what a layer sees, of the shape `shape`: latent variables have a density, features have none."""
        if not layer:
            return self.density_of_latents(problem)
        space = problem.operator.domain

        def decode(features: Tensor) -> Tensor:
            batch, x = features.shape[: features.ndim - len(shape)], features.reshape(-1, *shape)
            for stage in rest:
                x = stage(x)
            return x.reshape(*batch, *space.shape)

        def nothing(features: Tensor, image: Tensor) -> Tensor:
            return features.new_zeros(features.shape[: features.ndim - len(shape)])

        return LatentDensity(problem, decode, nothing, shape, self.prior)

    def _of_features(self, center: Tensor) -> Adam:
        """Adam within the ball around features, (*batch, d)."""
        radius = self.radius * center.abs().sum(-1, keepdim=True)
        rate = self.learning_rate * center.square().mean(-1, keepdim=True).sqrt()
        return Adam(rate, lambda z: center + l1_ball(z - center, radius))


def _shapes(latent_shape: tuple[int, ...], stages: list[Stage], like: Tensor) -> list[tuple[int, ...]]:
    """Shapes of what each stage sees, and the one after them."""
    x = torch.zeros(1, *latent_shape, dtype=like.dtype, device=like.device)
    shapes = [tuple(latent_shape)]
    for stage in stages:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def _applied(stage: Stage, z: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a stage makes of features (*batch, d) of a shape, (*batch, n)."""
    return stage(z.reshape(-1, *shape)).reshape(*z.shape[:-1], -1)


def l1_ball(x: Tensor, radius: Tensor) -> Tensor:
    """The closest point of the l1 ball around the origin, Duchi et al. (2008), fig. 1; over the last axis.

    Parameters
    ----------
    x : tensor, shape (*batch, d)
    radius : tensor, shape (*batch, 1)
    """
    size = x.abs()
    largest = size.sort(-1, descending=True).values
    excess = largest.cumsum(-1) - radius
    count = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    # the number of entries that stay, and by how much all shrink
    stay = (largest * count > excess).sum(-1, keepdim=True).clamp(min=1)
    shrink = (excess.gather(-1, stay - 1) / stay).clamp(min=0)
    return x.sign() * (size - shrink).clamp(min=0)
