"""Predictor-corrector sampling with a projection onto the measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.operators.linear import SVD
from invgen.problem import Problem
from invgen.solvers.data_prox import SAMPLER_PRECISION, DataProx
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.langevin.annealed import data_pull
from invgen.solvers.state import State

__all__ = ["PredictorCorrector"]


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(DiffusionSolver):
    """Reverse diffusion and Langevin steps from images projected onto the measurement.

    Song, Shen, Xing and Ermon (2022), "Solving inverse problems in medical imaging with score-based
    generative models"; without a measurement, Song et al. (2021), algorithms 2 and 4. Each level has a step
    of reverse diffusion, then some of Langevin dynamics. Before each, the measurement, with noise like that
    of the image, replaces what the image has there:

        T^-1 (lambda L P^-1 (y + sigma A z) + (1 - lambda) L T x + (1 - L) T x)

    for operators ``A = P L T`` of a transform T, a mask L of its coefficients, and P that keeps those. Here T
    is that of the singular vectors, and P has the singular values s. The paper finds lambda for noisy data by
    trial; here it follows from the noise, for each coefficient. It is one while the noise of the image,
    sigma, is above that of the coefficient, ``std / s``: only what it lacks is then added. At ``sigma = std /
    s`` the measurement is itself an image's coefficient with noise of that level; from there on lambda is
    zero, and the prior goes on alone. The Langevin steps, which would undo what has been measured, move the
    other coefficients only. With many of them, the samples are those of the posterior.

    Operators without a decomposition that is known, and measurements of unequal noise, have a relaxed form: a
    step of the size h follows a move of ``h / sigma^2`` of the way to the proximal map of the data term,

        x + h A.H (std^2 + sigma^2 A A.H)^-1 (y - A x)

    as in `AnnealedLangevin`.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels.
    corrector_steps : int
        Langevin steps at each; every one is an evaluation of the network, as is the predictor.
    snr : number between 0 and 0.7
        Signal-to-noise ratio r of the Langevin steps, ``2 (r sigma)^2``; below 0.7 they are stable.
    scale, chunk_size, sigma_range
        See `DiffusionSolver`.
    """

    iterations: int = 100
    corrector_steps: int = 3
    snr: float = 0.4

    counts: ClassVar[dict[str, int]] = {"corrector_steps": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        # steps of sigma^2 are those of the largest curvature
        if not 0 < self.snr < math.sqrt(0.5):
            raise ParameterError(f"snr is a number between 0 and 0.7; got {self.snr}.")

    def prepare(self, problem: Problem) -> Replaced | Pulled:
        """The measurement, as exactly as its operator allows."""
        svd = problem.linear_operator.svd
        if svd is None or problem.uniform_weight is None:
            return Pulled(problem)
        return Replaced(problem, svd, self.levels()[0])

    def step(
        self, problem: Problem, data: Replaced | Pulled, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Predict the image at the next level, and correct it there."""
        x = data.projected(state["noisy"], high, high**2 - low**2, draws)
        denoised = self.denoised(x, high)
        if low == 0:
            return State(x=denoised, noisy=denoised)
        x = data.predicted(x, denoised, high, low, draws)
        for _ in range(self.corrector_steps):
            size = 2 * (self.snr * low) ** 2
            x = data.projected(x, low, size, draws)
            denoised = self.denoised(x, low)
            move = size / low**2 * (denoised - x) + math.sqrt(2 * size) * draws(x)
            x = x + data.free(move)
        return State(x=denoised, noisy=x)


def _reverse_diffusion(x: Tensor, denoised: Tensor, high: float, low: float, noise: Tensor) -> Tensor:
    """Song et al. (2021), algorithm 2, the predictor."""
    change = high**2 - low**2
    return x + change / high**2 * (denoised - x) + math.sqrt(change) * noise


class Replaced:
    """What is measured takes the place of what the image has, along singular vectors."""

    def __init__(self, problem: Problem, svd: SVD, highest: float) -> None:
        measured = svd.U.H(problem.measurement)
        s = svd.s.to(device=measured.device, dtype=measured.dtype.to_real())
        std = svd.V.domain.per_sample(torch.as_tensor(problem.uniform_weight).to(s) ** -0.5)
        self._ever = s * highest > std
        s = torch.where(self._ever, s, 1)
        self._V, self._seen, self._std = svd.V, measured / s, std / s

    def projected(self, x: Tensor, sigma: float, size: float, draws: Draws) -> Tensor:
        """The image with the measurement, and noise up to sigma, where that has less noise."""
        known = self._ever & (self._std < sigma)
        rest = torch.where(known, sigma**2 - self._std**2, 0).sqrt()
        found = self._seen + rest * self._V.H(draws(x))
        return x + self._V(torch.where(known, found - self._V.H(x), 0))

    def predicted(self, x: Tensor, denoised: Tensor, high: float, low: float, draws: Draws) -> Tensor:
        """The image at the next level; what the data leave to the prior on the way starts at their level."""
        noise = draws(x)
        moved = _reverse_diffusion(x, denoised, high, low, noise)
        leaving = self._ever & (low < self._std) & (self._std < high)
        level = torch.where(leaving, self._std, 1)
        change = torch.where(leaving, level**2 - low**2, 0)
        pull = change / level**2 * (self._V.H(denoised) - self._seen)
        found = self._seen + pull + change.sqrt() * self._V.H(noise)
        return moved + self._V(torch.where(leaving, found - self._V.H(moved), 0))

    def free(self, move: Tensor) -> Tensor:
        """The part of a move that leaves alone what has been measured."""
        return move - self._V(torch.where(self._ever, self._V.H(move), 0))


class Pulled:
    """What is measured pulls the image, as strongly as the step that follows is long."""

    def __init__(self, problem: Problem) -> None:
        self._prox = DataProx(problem, SAMPLER_PRECISION)

    def projected(self, x: Tensor, sigma: float, size: float, draws: Draws) -> Tensor:
        """The image, moved towards the proximal map of the data term."""
        return x + size / sigma**2 * data_pull(self._prox, x, sigma)

    def predicted(self, x: Tensor, denoised: Tensor, high: float, low: float, draws: Draws) -> Tensor:
        """The image at the next level."""
        return _reverse_diffusion(x, denoised, high, low, draws(x))

    def free(self, move: Tensor) -> Tensor:
        """All of the move: the pull answers it."""
        return move
