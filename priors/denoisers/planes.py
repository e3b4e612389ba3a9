"""Volumes by a denoiser of images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from invgen.core.errors import CapabilityError, ParameterError
from invgen.priors.base import Denoiser, Denoising, require
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["Planes"]


@dataclass(frozen=True)
class Planes(Denoising):
    """A denoiser of volumes: one of images, in the planes across several axes.

    Slices that are denoised one by one do not fit one another. Here each voxel gets the mean of what the
    denoiser makes of the planes that cross in it, whose score is that of the product of experts

        p(volume) = prod_a prod_k p(plane k across axis a)^(1 / n),

    n being the number of axes: Lee et al. (2023), "Improving 3D imaging with pre-trained perpendicular 2D
    diffusion models", eq. 8 with equal weights and the same model in all planes, where they choose the axis
    by chance at each step. Planes of an object must look alike from all sides, with voxels of equal edges.

    Parameters
    ----------
    prior : Denoiser
        Of images of two axes, without channels, and of any size.
    across : tuple of -3, -2 and -1
        Axes that planes lie across: ``(-3,)`` for slices, each by itself.

    Examples
    --------
    >>> prior = ig.priors.Planes(ig.priors.load("brain-mr"))
    >>> A = ig.operators.MRI((8, 24, 24), mask)
    >>> volume = ig.solvers.DiffPIR(prior, iterations=4)(ig.Problem(A, kspace, noise)).x
    """

    prior: Denoiser
    across: tuple[int, ...] = (-3, -2, -1)

    def __post_init__(self) -> None:
        require(self.prior, "Planes", Denoiser)
        images = format_of(self.prior)
        if images.axes != 2 or images.shape is not None:
            raise CapabilityError(
                "Planes needs a denoiser of images (H, W) of any size, without channels: planes across each "
                f"axis have a size of their own. {type(self.prior).__name__} has {images.axes} axes"
                + ("." if images.shape is None else f", and the shape {images.shape}.")
            )
        across = tuple(self.across)
        if not across or len(set(across)) < len(across) or not set(across) <= {-3, -2, -1}:
            raise ParameterError(f"across has each of -3, -2 and -1 at most once; got {self.across}.")
        object.__setattr__(self, "across", across)

    @property
    def image_format(self) -> ImageFormat:
        """That of the images, with three axes."""
        return replace(format_of(self.prior), axes=3)

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        levels = sigma[..., 0, 0, 0].expand(x.shape[:-3])
        every = [
            self.prior.denoise(x.movedim(axis, -3).contiguous(), levels).movedim(-3, axis)
            for axis in self.across
        ]
        return torch.stack(every).mean(0)
