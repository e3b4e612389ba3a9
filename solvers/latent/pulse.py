"""PULSE: the latent variables of typical images, on a sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.problem import Problem
from invgen.solvers.latent.adam import Adam, check_rate
from invgen.solvers.latent.base import Descent, LatentSolver
from invgen.solvers.latent.density import LatentDensity
from invgen.solvers.point import Density

__all__ = ["PULSE"]


@dataclass(frozen=True, kw_only=True)
class PULSE(LatentSolver):
    """Photo upsampling via latent space exploration, Menon et al. (2020), sec. 3.3: for any operator.

    Standard normal vectors of d numbers are close to the sphere of the radius ``sqrt(d)``, and so are those
    of images that look real; on the sphere

        -log p(y | A(G(z))) + weight c(z)

    is minimized by Adam, each step projected back. Where the latent variables are several rows of d numbers,
    ``(..., rows, d)``, each is on its sphere, and c is the geodesic loss that keeps the rows together:
    ``d / 8`` times the mean, over all pairs of rows u and v, of the squared angle
    ``2 atan2(|u - v|, |u + v|)``, as in the paper's code. Of one row it is zero.

    Parameters
    ----------
    prior : Generator
        Of standard normal latent variables.
    weight : number
        Of the geodesic loss.
    learning_rate : positive number
    iterations, tolerance
        A restart ends where the relative change of its image is at most the tolerance.
    restarts, scale
        See `LatentSolver`.
    """

    weight: float = 0.05
    learning_rate: float = 0.1
    iterations: int = 500
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.learning_rate)

    def descent(self) -> Descent:
        """Adam on the spheres."""
        return Adam(self.learning_rate, self.projected)

    def projected(self, z: Tensor) -> Tensor:
        """Each row at the distance ``sqrt(d)`` from the origin."""
        return _on_spheres(z.unflatten(-1, (-1, self.prior.latent_shape[-1]))).flatten(-2)

    def density_of_latents(self, problem: Problem) -> Density:
        """That of the closest latent variables on the spheres, whose gradient is along these.

        Elementwise steps of Adam would turn a gradient across the spheres into one along them.
        """

        def decode(z: Tensor) -> Tensor:
            return self.prior.decode(_on_spheres(z))

        def penalty(z: Tensor, image: Tensor) -> Tensor:
            return self.regularizer(_on_spheres(z), image)

        return LatentDensity(problem, decode, penalty, self.prior.latent_shape, self.prior)

    def regularizer(self, z: Tensor, image: Tensor) -> Tensor:
        """The geodesic loss, shape of the batch."""
        rows = z.flatten(z.ndim - self._axes).unflatten(-1, (-1, z.shape[-1]))
        count, d = rows.shape[-2:]
        first, second = torch.triu_indices(count, count, 1, device=z.device)
        u, v = rows[..., first, :], rows[..., second, :]
        # the root of zero has no derivative
        apart, together = ((w.square().sum(-1) + 1e-9).sqrt() for w in (u - v, u + v))
        angles = 2 * torch.atan2(apart, together)
        return self.weight * d / 8 * 2 * angles.square().sum(-1) / count**2


def _on_spheres(z: Tensor) -> Tensor:
    """Rows of d numbers, (..., d), at the distance ``sqrt(d)`` from the origin."""
    sizes = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    # the origin has no closest point: one that is as good as any
    rows = torch.where(sizes > 0, z, 1.0)
    radius = math.sqrt(z.shape[-1])
    return rows * (radius / torch.where(sizes > 0, sizes, radius))
