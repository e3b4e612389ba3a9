"""Langevin dynamics in the latent variables of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.operators import Space
from invgen.solvers.latent.sampler import LatentSampler
from invgen.solvers.point import Density, Point
from invgen.solvers.sampling.metropolis import langevin

__all__ = ["LatentLangevin"]


@dataclass(frozen=True, kw_only=True)
class LatentLangevin(LatentSampler):
    """Metropolis-adjusted Langevin dynamics in the latent variables of a generator.

    Roberts and Tweedie (1996), sec. 1.4.2: with ``U(z) = -log p(y | A G(z)) - log p(z)``, steps

        z' = z - width^2 / 2 grad U(z) + width n

    are proposals, accepted with the probability ``min(1, p(z') q(z | z') / (p(z) q(z' | z)))`` that keeps the
    density, q being the density of proposals. Step sizes are found by dual averaging, Hoffman and Gelman
    (2014), algorithm 5, to an acceptance of 0.574, the best one in many dimensions (Roberts and Rosenthal
    1998).

    It is Hamiltonian Monte Carlo of one leapfrog step, and walks at random where `LatentHMC` goes straight
    on: where the data fix some latent variables much better than others, it takes the square of the steps.

    Parameters
    ----------
    prior : Generator
        One that PyTorch can differentiate.
    iterations : int
        Of each chain, and evaluations of the generator and its derivative.
    burn_in, annealed, thinning, scale, chunk_size
        See `invgen.solvers.latent.sampler.LatentSampler`.
    """

    iterations: int = 2000
    thinning: int = 10

    target: ClassVar[float] = 0.574

    def propose(
        self, density: Density, at: Point, width: Tensor, k: int, draws: Draws, space: Space
    ) -> tuple[Point, Tensor]:
        """A step of Langevin dynamics."""
        return langevin(density, at, width, draws(at.x), space)
