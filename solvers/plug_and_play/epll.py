"""Restoration by the likelihood of patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, cast

import torch

from invgen.core.errors import ParameterError
from invgen.operators import Identity
from invgen.priors.base import Patchwise, require
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.data_prox import DataProx
from invgen.solvers.scale import as_batch, check_scale, image_scale, rough_image, with_noise
from invgen.solvers.state import State

__all__ = ["EPLL"]

#: Penalties beta of the paper's experiments: for denoising over the noise's variance (sec. 4.1), ...
_DENOISING = (1, 4, 8, 16, 32, 64)

#: ... else for images in [0, 1] (those that the authors published with their deblurring, sec. 4.2).
_RESTORATION = (50, 100, 200, 400, 800, 1600, 3200)


@dataclass(frozen=True)
class EPLL(Solver):
    """Expected patch log-likelihood, Zoran and Weiss (2011), by half-quadratic splitting, sec. 3.

    Minimises ``-log p(y | A x) + prior.value(x)`` for Gaussian noise, over x and a restored copy of each
    patch, which a penalty beta ties to it. For each of a rising sequence of them, the two are found in turn:

        z = average of the patches of x, each restored as from noise of variance 1 / beta
        (A.H W A + beta) x = A.H W y + beta z

    The data term is weighted by ``lambda = p^2 / std^2`` against the sum over all patches of p x p pixels, in
    which each pixel takes part p^2 times, and at the image's edges as if it went on there, as the authors do.

    Parameters
    ----------
    prior : Patchwise
        Such as a `PatchMixture`.
    betas : tuple of positive numbers, or "auto"
        Penalties for images in [0, 1], one for each iteration. "auto" takes those of the paper: where A is an
        isometry, as in denoising, 1, 4, 8, 16, 32, 64 over the noise's variance, else 50, 100, 200, ... 3200.
    scale : positive number, or "auto"
        What is white, one, to the prior, in units of the image; "auto" finds it from a coarse reconstruction.
    stride : int
        Take every patch, or only every second and so on in each direction, which is as much faster.
    iterations : int
        At most; the penalties come to an end by themselves.

    Notes
    -----
    Where the noise is unknown, its level is estimated, or taken to be one percent of the data.
    """

    prior: Patchwise
    _: KW_ONLY
    betas: tuple[float, ...] | torch.Tensor | str = "auto"
    scale: float | torch.Tensor | str = "auto"
    stride: int = 1
    iterations: int = 100
    tolerance: float = 0.0

    counts: ClassVar[dict[str, int]] = {"stride": 1}

    #: The likelihood of all patches under all components costs as much as an iteration: recorded at the end.
    recorded: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Patchwise)
        check_scale(self.betas, "betas")
        check_scale(self.scale, "scale")
        if self.stride > self.prior.patch:
            raise ParameterError(f"stride is from 1 to the patch, {self.prior.patch}; got {self.stride}.")

    def resolved(self, problem: Problem) -> EPLL:
        """With numbers, those of each batch element, for scale and penalties."""
        known, like = with_noise(problem, self.name), problem.zeros().real
        scale = image_scale(known) if isinstance(self.scale, str) else self.scale
        scale = as_batch(scale, problem, "scale")
        if not isinstance(self.betas, str):
            betas = torch.as_tensor(self.betas)
        elif isinstance(known.linear_operator.gram, Identity):
            weight = known.mean_weight * scale.square()
            betas = torch.stack([beta * weight for beta in _DENOISING])
        else:
            betas = torch.tensor(_RESTORATION)
        betas = betas.to(like).reshape([len(betas), *(betas.shape[1:] or (1,) * len(problem.batch_shape))])
        return replace(self, betas=betas.expand(len(betas), *problem.batch_shape), scale=scale)

    def initial(self, problem: Problem) -> torch.Tensor:
        """The data where A is an isometry, else a rough image."""
        known = with_noise(problem, self.name)
        if isinstance(known.linear_operator.gram, Identity):
            return known.backprojection / known.operator.domain.per_sample(known.mean_weight)
        return rough_image(known)

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor | float:
        """Minus the likelihood of the patches, of the image as the prior knows it."""
        return super().penalty(problem, x / problem.operator.domain.per_sample(self.scale))

    def statistics(self) -> dict[str, Any]:
        """Scale and penalties."""
        scale = torch.as_tensor(self.scale)
        return {"scale": scale if scale.ndim else float(scale), "betas": self.betas}

    def prepare(self, problem: Problem) -> DataProx:
        """The proximal map of the data term."""
        return DataProx(with_noise(problem, self.name))

    def steps(self, problem: Problem, data_prox: DataProx, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        x, space = state.x, problem.operator.domain
        betas, scale = cast(torch.Tensor, self.betas), cast(torch.Tensor, self.scale)
        unit = space.per_sample(scale)
        for k in range(state.get("k", lambda: 0), len(betas)):
            # images with axes of their own, such as channels, are restored one by one
            sigma = betas[k].rsqrt().reshape([*scale.shape, *(1,) * (len(space.shape) - 2)])
            z = unit * self.prior.restore(x / unit, sigma, self.stride)
            x = data_prox(z, betas[k] / scale.square(), x)
            yield State(x=x, k=k + 1)
