"""Signals of independent increments as a prior: denoiser, samples, density."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invgen.certification.levy.chain import grid, smoothed
from invgen.certification.levy.increments import Increments
from invgen.core.errors import CapabilityError
from invgen.core.frozen import Frozen
from invgen.operators import Space
from invgen.priors.base import Denoising
from invgen.priors.image_format import ImageFormat

__all__ = ["LevyProcess"]

#: Lowest and highest noise level, over the standard deviation of a value.
_LOWEST, _HIGHEST = 1 / 500, 10.0

#: Numbers of all grids of the signals that are denoised at a time.
_BLOCK = 2**22


class LevyProcess(Frozen, Denoising):
    """A Lévy process at the times 1 to n, ``x_k = u_1 + ... + u_k`` with independent increments.

    The denoiser is the posterior mean by sums over a grid, `smoothed`, and can be differentiated.

    Parameters
    ----------
    increments : Increments
    length : int
        n.
    """

    def __init__(self, increments: Increments, length: int = 64) -> None:
        self.increments = increments
        self.space = Space((length,))
        std = math.sqrt(increments.variance * (length + 1) / 2)
        self._format = ImageFormat((length,), std=std, noise_range=(_LOWEST * std, _HIGHEST * std))

    @property
    def image_format(self) -> ImageFormat:
        """Length, deviation, and noise levels from a five-hundredth of that to ten times."""
        return self._format

    def mean(self) -> Tensor:
        """Zero."""
        return torch.zeros(self.space.shape)

    def covariance(self) -> Tensor:
        """``variance min(i, j)``, float64."""
        times = torch.arange(1, self.space.size + 1, dtype=torch.float64)
        return self.increments.variance * torch.minimum(times[:, None], times)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n signals, (n, length)."""
        generator = torch.Generator().manual_seed(seed)
        return self.increments.sample((n, self.space.size), generator).cumsum(1).float()

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density, shape of the batch.

        Raises
        ------
        CapabilityError
            Where increments can be zero.
        """
        if self.increments.probability < 1:
            raise CapabilityError("Signals that are constant in pieces have no density.")
        return self.increments.log_prob(torch.diff(x, dim=-1, prepend=x.new_zeros(*x.shape[:-1], 1))).sum(-1)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        flat, batch = self.space.flatten(x)
        levels = sigma.expand(*batch, 1).reshape(-1)
        found = torch.empty_like(flat)
        # samples of one noise level share the spacing of their grids
        for level in levels.unique().tolist():
            here = (levels == level).nonzero()[:, 0]
            for block in here.split(self._together(level)):
                mean, _ = smoothed(flat[block].double(), level, self.increments)
                found = found.index_copy(0, block, mean.to(x))
        return found.reshape(x.shape)

    def _together(self, level: float) -> int:
        """Signals whose grids fit into memory."""
        n = self.space.size
        _, half, _ = grid(level, self.increments, n)
        return max(1, _BLOCK // (n * (2 * half + 1)))
