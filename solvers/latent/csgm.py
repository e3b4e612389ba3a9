"""Compressed sensing using generative models: optimization of latent variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.latent.adam import Adam, check_rate
from invgen.solvers.latent.base import Descent, LatentSolver
from invgen.solvers.latent.encoder import encoded, require_encoder
from invgen.solvers.lbfgs import LBFGS

__all__ = ["LatentOptimization"]


@dataclass(frozen=True, kw_only=True)
class LatentOptimization(LatentSolver):
    """Compressed sensing using generative models (CSGM), Bora, Jalal, Price and Dimakis (2017), eq. 4.

    Minimizes, over the latent variables z of a generator G, from several starts,

        -log p(y | A(G(z))) - weight log p(z)

    that is ``|A G(z) - y|^2 / (2 std^2) + weight |z|^2 / 2`` for Gaussian noise and standard normal latent
    variables: their most probable values given the data where the weight is one. The paper's objective
    ``|A G(z) - y|^2 + lambda |z|^2`` has the weight ``lambda / std^2``. The image is one that the generator
    can make, whatever the data say: more of them do not help where the truth is not.

    Parameters
    ----------
    prior : Generator
    optimizer : {"lbfgs", "adam"}
    learning_rate : positive number
        Of Adam.
    start : {"random", "encoder"}
        "encoder": the first restart starts at the latent variables that the prior encodes a rough
        reconstruction in, such as the encoder of a variational autoencoder, or a flow backwards.
    iterations : int
        Evaluations of the generator and its derivative.
    tolerance : number
        A restart ends where its relative change of the image (Adam), or its distance from the minimum in
        standard deviations of the posterior (L-BFGS), is at most this.
    restarts, weight, scale
        See `LatentSolver`.
    """

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: float = 0.01
    start: Literal["random", "encoder"] = "random"
    iterations: int = 500
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer not in ("lbfgs", "adam"):
            raise ParameterError(f"optimizer is 'lbfgs' or 'adam'; got {self.optimizer!r}.")
        check_rate(self.learning_rate)
        if self.start not in ("random", "encoder"):
            raise ParameterError(f"start is 'random' or 'encoder'; got {self.start!r}.")
        if self.start == "encoder":
            require_encoder(self.prior, self.name)

    def descent(self) -> Descent:
        """The optimizer."""
        return LBFGS() if self.optimizer == "lbfgs" else Adam(self.learning_rate)

    def initial(self, problem: Problem) -> Tensor:
        """Latent variables of a rough image for the first restart, or none."""
        if self.start == "random":
            return super().initial(problem)
        return encoded(problem, self.prior, self.scale)[None]
