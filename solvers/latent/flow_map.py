"""The most probable image under a flow, given the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.priors.base import Density, require
from invgen.problem import Problem
from invgen.solvers.latent.base import Descent, LatentSolver
from invgen.solvers.latent.encoder import encoded, require_encoder
from invgen.solvers.lbfgs import LBFGS

__all__ = ["FlowMAP"]


@dataclass(frozen=True, kw_only=True)
class FlowMAP(LatentSolver):
    """Maximum a posteriori estimation with a normalizing flow, in its latent variables.

    A flow makes every image, and so has no error of representation. With ``density="image"`` the most
    probable image is looked for, as by Whang, Lei and Dimakis (2021), as that of latent variables:

        -log p(y | A(G(z))) - weight log p_G(G(z))

    With "latent" the latent variables are penalized in place of the image, ``weight |z|^2 / 2``, as by Asim,
    Daniels, Leong, Ahmed and Hand (2020): the volume that the flow gives to an image then does not count. The
    only restart starts at z = 0 by default, as theirs does.

    Parameters
    ----------
    prior : Generator and Density
        Such as a `Flow`.
    density : {"image", "latent"}
    start : {"zero", "encoder"}
        Of the first restart: "encoder" starts at the latent variables of a rough reconstruction.
    iterations : int
        Evaluations of the flow and its derivative.
    tolerance : number
        A restart ends where its distance from the minimum in standard deviations of the posterior is at most
        this.
    restarts, weight, scale
        See `LatentSolver`.
    """

    density: Literal["image", "latent"] = "image"
    start: Literal["zero", "encoder"] = "zero"
    restarts: int = 1
    iterations: int = 500
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Density)
        if self.density not in ("image", "latent"):
            raise ParameterError(f"density is 'image' or 'latent'; got {self.density!r}.")
        if self.start not in ("zero", "encoder"):
            raise ParameterError(f"start is 'zero' or 'encoder'; got {self.start!r}.")
        if self.start == "encoder":
            require_encoder(self.prior, self.name)

    @property
    def draws_starts(self) -> bool:
        """The first start is no random one."""
        return self.restarts > 1

    def descent(self) -> Descent:
        """L-BFGS."""
        return LBFGS()

    def initial(self, problem: Problem) -> Tensor:
        """The first latent variables: zero, or those of a rough image."""
        if self.start == "encoder":
            return encoded(problem, self.prior, self.scale)
        return self.start_space(problem).zeros(problem.batch_shape, problem.zeros())

    def regularizer(self, z: Tensor, image: Tensor) -> Tensor:
        """Minus the logarithm of the density of the image, or of the latent variables."""
        if self.density == "latent":
            return super().regularizer(z, image)
        assert isinstance(self.prior, Density)
        return -self.weight * self.prior.log_prob(image)
