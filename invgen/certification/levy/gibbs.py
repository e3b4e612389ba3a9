"""Gibbs samplers of signals of independent increments under any linear operator: the reference posterior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.certification.levy.increments import Increments

__all__ = ["Gibbs"]


@dataclass(frozen=True)
class Gibbs:
    """Independent chains of a Gibbs sampler of ``p(x | y)``, ``y = A x + std n``, x the sums of increments.

    Increments are Gaussians of random variances, ``u_k = v_k sqrt(w_k) z_k``, v_k being zero where an
    increment is. In turns are drawn

    - the variances w given the increments (Park and Casella 2008 for Laplace increments),
    - which increments are not zero, one by one, u being integrated out: ``y ~ N(0, std^2 + B diag(v w) B.T)``
      with B = A after summation, whose inverse changes by one rank (George and McCulloch 1997),
    - all increments, a Gaussian, by the Cholesky factor of ``1 + diag(s) B.T B diag(s) / std^2`` with
      ``s = v sqrt(w)``, in which no variance can be too small.

    Parameters
    ----------
    increments : Increments
    matrix : tensor, shape (m, n), float64
        A.
    std : positive number
    """

    increments: Increments
    matrix: Tensor
    std: float

    def sample(self, y: Tensor, n: int, seed: int, sweeps: int = 200) -> Tensor:
        """The ends of n chains of so many sweeps for one measurement ``(m,)``: independent, (n, length)."""
        *_, (_, x) = self.chains(y, n, seed, sweeps)
        return x

    def moments(self, y: Tensor, chains: int, seed: int, sweeps: int = 400) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation by the Gaussians given the variances, of the latter half of the chains.

        The mean of each Gaussian is known: it scatters less than the samples do (Rao and Blackwell).
        """
        kept = [found for k, found in enumerate(self.chains(y, chains, seed, sweeps)) if k >= sweeps // 2]
        means = torch.cat([mean for mean, _ in kept])
        drawn = torch.cat([x for _, x in kept])
        mean = means.mean(0)
        # E[x^2] = E[mean^2] + E[var], the latter by the drawn ones about their own means
        variance = means.var(0) + (drawn - means).square().mean(0)
        return mean, variance.sqrt()

    @torch.no_grad()
    def chains(self, y: Tensor, n: int, seed: int, sweeps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Mean of the last Gaussian and the signal drawn from it, of each chain: (n, length) each."""
        generator = torch.Generator().manual_seed(seed)
        B = self.matrix @ torch.ones_like(self.matrix[0]).diag_embed().cumsum(0)
        BtB, Bty = B.mT @ B / self.std**2, B.mT @ y.double() / self.std**2
        w = self.increments.draw_prior_variance(y.new_empty(n, B.shape[1], dtype=torch.float64), generator)
        v = torch.ones_like(w)
        while sweeps:
            if self.increments.probability < 1:
                v = self._chosen(v, w, B, y.double(), generator)
            s = v * w.sqrt()
            M = s[:, :, None] * BtB * s[:, None, :]
            M.diagonal(dim1=1, dim2=2).add_(1)
            L = torch.linalg.cholesky(M)
            mean = torch.cholesky_solve((s * Bty)[..., None], L)
            z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
            z = mean + torch.linalg.solve_triangular(L.mT, z, upper=True)
            u = s * z[..., 0]
            yield (s * mean[..., 0]).cumsum(1), u.cumsum(1)
            # of an increment that is zero, the variance is any
            own = self.increments.draw_variance(u, generator)
            w = torch.where(v > 0, own, self.increments.draw_prior_variance(w, generator))
            sweeps -= 1

    def _chosen(self, v: Tensor, w: Tensor, B: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Which increments are not zero, one after the other."""
        v = v.clone()
        precision = torch.linalg.inv(
            (B * (v * w)[:, None]) @ B.mT + self.std**2 * torch.eye(len(B), dtype=B.dtype)
        )
        odds = math.log(self.increments.probability) - math.log1p(-self.increments.probability)
        for k, column in enumerate(B.mT):
            pulled = precision @ column
            # without the increment k: the inverse of the covariance less its part w b b.T
            tau, beta = pulled @ column, pulled @ y
            rest = 1 - v[:, k] * w[:, k] * tau
            tau, beta = tau / rest, beta / rest
            gain = 1 + w[:, k] * tau
            log_odds = odds - gain.log() / 2 + w[:, k] * beta.square() / gain / 2
            chosen = (torch.rand(len(v), generator=generator, dtype=v.dtype) < log_odds.sigmoid()).to(v)
            change = (chosen - v[:, k]) * w[:, k]
            scale = change / (1 + change * (pulled @ column))
            precision.baddbmm_((scale[:, None] * pulled)[:, :, None], pulled[:, None, :], alpha=-1)
            v[:, k] = chosen
        return v
