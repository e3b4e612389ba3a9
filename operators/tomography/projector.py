"""What the implementations of a projection have in common: two functions, and the rays that they follow."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeVar

import torch

from invgen.core.frozen import Frozen
from invgen.core.kernels import Kernels
from invgen.operators.tomography.rays import PixelShadows

__all__ = ["Backprojector", "Projector", "RayProjector", "both_ways"]

R = TypeVar("R", contravariant=True)


class Projector(Protocol[R]):
    """Projection along rays, and its transpose: a module for each geometry and kind of device."""

    def forward(self, x: torch.Tensor, rays: R) -> torch.Tensor:
        """Images (batch, *image) to projections (batch, views, *detector)."""
        ...

    def adjoint(self, y: torch.Tensor, rays: R) -> torch.Tensor:
        """Projections (batch, views, *detector) to images (batch, *image)."""
        ...


def both_ways(
    projector: Projector[R], rays: R, image: tuple[int, ...], data: tuple[int, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """A projector's results for three random images and projections of given shapes."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, *shape, generator=generator).to(device) for shape in (image, data))
    return projector.forward(x, rays), projector.adjoint(y, rays)


class Backprojector(Protocol):
    """Sum over the views of what is found where each pixel is projected to, see `PixelShadows`.

    Each value is weighted by the source's squared distance from the axis over the pixel's squared distance
    from the source (curved detectors), or over the square of that distance's part along the central ray
    (flat ones).
    """

    def fan(self, filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
        """Sinograms (batch, views, samples) to images (batch, H, W)."""
        ...

    def fan_adjoint(self, x: torch.Tensor, shadows: PixelShadows, samples: int) -> torch.Tensor:
        """The transpose of `fan`."""
        ...

    def cone(self, filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
        """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
        ...

    def cone_adjoint(self, x: torch.Tensor, shadows: PixelShadows, panel: tuple[int, int]) -> torch.Tensor:
        """The transpose of `cone`, onto a panel of that number of rows and samples."""
        ...


class RayProjector(Frozen):
    """Projection along given rays, by the implementation that serves the data.

    Parameters
    ----------
    rays : ParallelRays or DivergentRays
    """

    kernels: ClassVar[Kernels[Projector[Any]]]

    def __init__(self, rays: Any) -> None:
        self._rays = rays

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, *image) to projections (batch, views, *detector)."""
        return self.kernels.serving(x).forward(x, self._rays)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Projections (batch, views, *detector) to images (batch, *image)."""
        return self.kernels.serving(y).adjoint(y, self._rays)
