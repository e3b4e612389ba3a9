"""The most probable image within a ball, by projected gradients of a density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invgen.core.batching import leading
from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError
from invgen.plausibility.purification.base import Ball
from invgen.priors.base import Density, Energy, log_prob_kind

__all__ = ["AscentPurification"]

#: Part of the decrease that the gradient promises, and halvings of a step that does not bring it.
_SUFFICIENT, _HALVINGS = 1e-4, 10


@dataclass(frozen=True)
class AscentPurification(Ball):
    """A maximum of the density within a ball, by spectral projected gradients.

    Birgin, Martinez and Raydan (2000), "Nonmonotone spectral projected gradient methods on convex sets",
    algorithm 2.2 with M = 1: the step is that of Barzilai and Borwein (1988), and is halved until the
    density rises, so that no iterate is less probable than the image before. Each image has its own step.
    Where the density has several maxima it is one near the start.

    Parameters
    ----------
    prior : Density or Energy
        With a derivative in PyTorch. Of a prior that is both, the energy is taken.
    eps : positive number
        In the unit of the images.
    iterations : int

    Raises
    ------
    CapabilityError
        Where the density has no derivative, or is an estimate; of some priors not before there are images.
    """

    prior: Density | Energy
    iterations: int = 50

    protocols: ClassVar[tuple[type, ...]] = (Density, Energy)

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count(self.iterations, "iterations")
        # found out before, as an estimate of the density can take minutes
        estimated = isinstance(self.prior, Density) and log_prob_kind(self.prior) == "estimate"
        if estimated and not isinstance(self.prior, Energy):
            raise self._without_derivative()

    def _purified(self, x: Tensor, seed: int) -> Tensor:
        low, high = self._bounds(x.detach())
        x = x.detach().clamp(low, high)
        found, rows = x.clone(), torch.arange(len(x), device=x.device)
        energy, gradient = self._energy(x)
        # the first step moves the pixel of the largest derivative by the radius of the ball
        longest = self.eps / gradient.flatten(1).abs().amax(1).clamp(min=torch.finfo(x.dtype).tiny)
        step = longest
        for _ in range(self.iterations):
            direction = (x - leading(step, x) * gradient).clamp(low, high) - x
            trial, new_energy, new_gradient = self._searched(x, energy, gradient, direction)
            change = trial - x
            curvature = _inner(change, new_gradient - gradient)
            # where there is none, the step is the first one again
            step = torch.where(curvature > 0, _inner(change, change) / curvature, longest)
            x, energy, gradient = trial, new_energy, new_gradient
            found[rows] = x
            moved = change.flatten(1).abs().amax(1) > 0
            if not bool(moved.any()):
                break
            rows, x, energy, gradient, step, longest, low, high = (
                each[moved] for each in (rows, x, energy, gradient, step, longest, low, high)
            )
        return found

    def _searched(
        self, x: Tensor, energy: Tensor, gradient: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images of less energy along a direction, energy and gradient; as they were where there are none."""
        x, energy, gradient = x.clone(), energy.clone(), gradient.clone()
        slope, share = _inner(gradient, direction), 1.0
        rows = (slope < 0).nonzero()[:, 0]
        for _ in range(_HALVINGS):
            if not len(rows):
                break
            trial = x[rows] + share * direction[rows]
            new_energy, new_gradient = self._energy(trial)
            enough = new_energy <= energy[rows] + _SUFFICIENT * share * slope[rows]
            x[rows[enough]], energy[rows[enough]] = trial[enough], new_energy[enough]
            gradient[rows[enough]] = new_gradient[enough]
            rows, share = rows[~enough], share / 2
        return x, energy, gradient

    def _energy(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the logarithm of the density of images, and its gradient."""
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            energy = self.prior.energy(at) if isinstance(self.prior, Energy) else -self.prior.log_prob(at)
            total = energy.sum()
        if not energy.requires_grad:
            raise self._without_derivative()
        return energy.detach(), torch.autograd.grad(total, at)[0]

    def _without_derivative(self) -> CapabilityError:
        return CapabilityError(
            "AscentPurification needs a density with a derivative in PyTorch; that of "
            f"{type(self.prior).__name__} has none. DenoisingPurification needs a denoiser only, and "
            "GreedyPurification a prior of levels."
        )


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the images of two batches."""
    return (a * b).flatten(1).sum(1)
