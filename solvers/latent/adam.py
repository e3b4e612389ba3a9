"""Adam for many problems at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.solvers.point import Density, Point

__all__ = ["Adam", "check_rate"]

#: Decay rates of the two moments, and what keeps the quotient finite: those of the paper.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def check_rate(learning_rate: float) -> None:
    """Raise unless a learning rate is positive."""
    if not learning_rate > 0:
        raise ParameterError(f"learning_rate must be positive; got {learning_rate}.")


def _free(z: Tensor) -> Tensor:
    """Everything is allowed."""
    return z


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba (2015), algorithm 1, elementwise: batch elements do not see one another.

    Parameters
    ----------
    learning_rate : positive number, or tensor of the shape (d,)
    projection : callable(z) -> z
        Onto the latent variables that are allowed, ``(*batch, d)``, after each step.
    """

    learning_rate: float | Tensor
    projection: Callable[[Tensor], Tensor] = _free

    def begin(self, point: Point) -> dict[str, Tensor]:
        """Both moments, and the number of steps."""
        zeros = torch.zeros_like(point.x)
        return {"mean": zeros, "square": zeros, "steps": torch.zeros_like(point.energy)}

    def advance(
        self, density: Density, point: Point, memory: dict[str, Tensor]
    ) -> tuple[Point, dict[str, Tensor], Tensor]:
        """The next point, the moments, and the relative change of the image, for one evaluation."""
        mean = _BETA1 * memory["mean"] + (1 - _BETA1) * point.gradient
        square = _BETA2 * memory["square"] + (1 - _BETA2) * point.gradient.square()
        steps = memory["steps"] + 1
        unbiased = mean / (1 - _BETA1**steps)[..., None]
        width = (square / (1 - _BETA2**steps)[..., None]).sqrt()
        reached = density(self.projection(point.x - self.learning_rate * unbiased / (width + _EPSILON)))
        return reached, {"mean": mean, "square": square, "steps": steps}, _change(point, reached)


def _change(old: Point, new: Point) -> Tensor:
    """Of the images, relative to the new ones, shape of the batch."""
    axes = tuple(range(old.energy.ndim, old.image.ndim))
    moved, size = ((x.abs().square().sum(axes)).sqrt() for x in (new.image - old.image, new.image))
    return moved / size.clamp(min=torch.finfo(size.dtype).tiny)
