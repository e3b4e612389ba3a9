"""Image-adaptive generators: latent variables and the generator's weights, tuned to one measurement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.space import ProductSpace
from invgen.operators import Mask
from invgen.priors.base import Tunable, require
from invgen.problem import Problem
from invgen.solvers.latent.adam import Adam, check_rate
from invgen.solvers.latent.base import LatentSolver
from invgen.solvers.latent.csgm import LatentOptimization
from invgen.solvers.latent.density import LatentDensity
from invgen.solvers.state import State

__all__ = ["ImageAdaptive"]

#: Size of a tensor of weights, such as biases, that are all zero: what their steps are relative to.
_SMALLEST = 0.01


@dataclass(frozen=True, kw_only=True)
class ImageAdaptive(LatentSolver):
    """Image-adaptive GAN reconstruction (IAGAN), Hussein, Tirer and Giryes (2020), sec. 3.

    First `LatentOptimization`; then latent variables and weights of the generator together, by Adam, from the
    best restart on: each batch element has weights of its own, and those of the prior never change. What the
    generator could not make it then can, the noise in the end. Some of the measurements are withheld, and the
    image is kept whose prediction of these is the best: it stops before it fits the noise, without knowing
    the truth. The withheld measurements are used for nothing else.

    Parameters
    ----------
    prior : Tunable
        A generator with ``decode_with(weights, z)``: GAN, VAE, a network in `priors.from_module`.
    learning_rate : positive number
        Of the weights, relative to the root mean square of each tensor of them.
    latent_rate : positive number
        Of the latent variables.
    withheld : number between 0 and 1
        Part of the measurements, which are drawn by a fixed seed, the same ones for each batch element.
    patience : int
        Iterations without a better prediction after which it stops.
    first : int
        Iterations of `LatentOptimization`.
    iterations : int
        Largest number of iterations of the tuning.
    restarts, weight, scale
        See `LatentSolver`. Restarts are those of the first part, the best of which is tuned: the statistics
        have that one alone.
    """

    learning_rate: float = 0.003
    latent_rate: float = 0.01
    withheld: float = 0.1
    patience: int = 50
    first: int = 300
    iterations: int = 500
    tolerance: float = 0.0

    counts: ClassVar[dict[str, int]] = {**LatentSolver.counts, "patience": 1, "first": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Tunable)
        check_rate(self.learning_rate)
        check_rate(self.latent_rate)
        if not 0 < self.withheld < 1:
            raise ParameterError(f"withheld is a number between 0 and 1; got {self.withheld}.")

    def chunks(self, x: Tensor, samples: int, seed: int) -> list[range]:
        """The seed of the first part, whose best restart is tuned."""
        return [range(seed, seed + 1)]

    def begin(self, problem: Problem, x: Tensor, seeds: range, seed: int) -> tuple[Problem, State]:
        """Find the latent variables that the tuning starts from."""
        fitted, _ = self._split(problem)
        search = LatentOptimization(
            self.prior,
            iterations=self.first,
            restarts=self.restarts,
            weight=self.weight,
            scale=self.scale,
        )
        start = None if x.ndim > len(problem.batch_shape) + self._axes else x
        found = search(fitted, x0=start, seed=seeds.start)
        return super().begin(problem, found.stats["latents"], seeds, seed)

    def prepare(self, problem: Problem) -> tuple[Problem, Problem]:
        """The problem of the measurements that are fitted, and that of those withheld."""
        return self._split(problem)

    def steps(self, problem: Problem, prepared: Any, state: State) -> Iterator[State]:
        """Tune latent variables and weights, and keep what predicts the withheld measurements best."""
        fitted, withheld = prepared
        tuned = _Tuned(self.prior, problem.zeros().real)
        density = LatentDensity(fitted, tuned.decode, self._of_latents(tuned), (tuned.size,), self.prior)
        descent = Adam(tuned.rates(self.latent_rate, self.learning_rate))
        at = state.get("at", lambda: self.placed(density, descent, tuned.joined(state["z"])))
        best = state.get("best", lambda: self._seen(withheld, at))
        since = state.get("since", lambda: torch.zeros_like(best["misfit"]))
        while True:
            moving = at["moving"]
            at, _ = self.moved(density, descent, at)
            found = self._seen(withheld, at)
            better = found["misfit"] < best["misfit"]
            best = chosen(better, found, best)
            since = torch.where(better, 0, since + 1)
            left = torch.where(moving & at["finite"], 1 - since / self.patience, 0).clamp(min=0)
            at = {**at, "moving": at["moving"] & ~(left <= self.tolerance)}
            yield State(
                best["image"],
                left,
                at=at,
                best=best,
                since=since,
                penalty=best["penalty"],
                latents=best["z"],
                finite=torch.ones_like(moving),
            )

    def _seen(self, withheld: Problem, at: Mapping[str, Any]) -> dict[str, Tensor]:
        """Images, with the misfit of what was withheld."""
        point = at["point"]
        z = point["x"][..., : math.prod(self.prior.latent_shape)]
        misfit = withheld.negative_log_likelihood(point["image"])
        return {"image": point["image"], "misfit": misfit, "penalty": point["penalty"], "z": z}

    def _of_latents(self, tuned: _Tuned) -> Callable[[Tensor, Tensor], Tensor]:
        """The penalty of the latent variables among what is tuned."""
        return lambda u, image: self.regularizer(tuned.latents(u), image)

    def _split(self, problem: Problem) -> tuple[Problem, Problem]:
        """The problems of the measurements that are fitted, and of those that are withheld.

        Raises
        ------
        CapabilityError
            Where there are fewer than two.
        """
        A = problem.operator
        if isinstance(A.range, ProductSpace) or A.range.size < 2:
            raise CapabilityError(f"{self.name} withholds some of the measurements of a single array.")
        chance = torch.rand(A.range.size, generator=torch.Generator().manual_seed(0))
        if A.observed is not None:  # what is no datum cannot be predicted
            chance = torch.where(A.observed.cpu().expand(A.range.shape).flatten(), chance, 2.0)
        count = max(1, round(self.withheld * int((chance <= 1).sum())))
        held = torch.zeros(A.range.size, dtype=torch.bool)
        held[chance.argsort()[:count]] = True
        masks = (Mask(which.reshape(A.range.shape), field=A.range.field) for which in (~held, held))
        fitted, withheld = (Problem(mask @ A, problem.measurement, problem.noise) for mask in masks)
        return fitted, withheld


class _Tuned:
    """Latent variables and weights of a generator in one axis: first the latent variables."""

    def __init__(self, prior: Any, like: Tensor) -> None:
        self._prior = prior
        self._weights = {name: weight.detach() for name, weight in prior.weights(like).items()}
        self._latents = math.prod(prior.latent_shape)
        self._sizes = [weight.numel() for weight in self._weights.values()]
        #: Numbers in all.
        self.size = self._latents + sum(self._sizes)

    def joined(self, z: Tensor) -> Tensor:
        """Latent variables (*batch, d) with the weights of the prior."""
        weights = torch.cat([weight.flatten() for weight in self._weights.values()])
        return torch.cat([z, weights.expand(*z.shape[:-1], -1)], -1)

    def rates(self, latent_rate: float, learning_rate: float) -> Tensor:
        """Learning rates, of weights relative to the size of their tensor."""
        first = next(iter(self._weights.values()))
        rates = [first.new_full((self._latents,), latent_rate)]
        for weight in self._weights.values():
            size = weight.square().mean().sqrt().clamp(min=_SMALLEST)
            rates.append((learning_rate * size).expand(weight.numel()))
        return torch.cat(rates)

    def latents(self, u: Tensor) -> Tensor:
        """The latent variables, (*batch, *latent)."""
        return u[..., : self._latents].unflatten(-1, self._prior.latent_shape)

    def decode(self, u: Tensor) -> Tensor:
        """Images (*batch, *image), each by its own weights."""
        z, rows = self.latents(u), u[..., self._latents :]
        batch = u.shape[:-1]
        images = [self._image(rows[i], z[i]) for i in itertools.product(*map(range, batch))]
        return torch.stack(images).unflatten(0, batch) if batch else images[0]

    def _image(self, row: Tensor, z: Tensor) -> Tensor:
        parts = zip(self._weights.items(), row.split(self._sizes), strict=True)
        weights = {name: part.reshape(weight.shape) for (name, weight), part in parts}
        image: Tensor = self._prior.decode_with(weights, z)
        return image
