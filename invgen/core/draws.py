"""Random numbers that follow from seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Draws"]


class Draws:
    """Normal numbers for several samples, each of its own generator: what one draws does not move another.

    They are drawn on the device that they are for. Equal seeds give equal numbers on each kind of device, but
    other ones on GPUs than on CPUs.

    Parameters
    ----------
    seeds : sequence of int, or tensor
        One for each sample; or the `state` of draws to go on from.
    axes : int, optional
        How many of the last axes are the image. Those between them and the samples, a batch of problems, get
        the same numbers: each of them draws what it would draw alone. By default there are none.
    device : torch.device
        Of the numbers.
    """

    def __init__(
        self,
        seeds: Sequence[int] | Tensor,
        axes: int | None = None,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        self._device = torch.device("cpu" if device is None else device)
        self._generators = [torch.Generator(self._device) for _ in seeds]
        for generator, seed in zip(self._generators, seeds, strict=True):
            if isinstance(seed, Tensor):
                generator.set_state(seed.cpu().clone())  # of a view it crashes
            else:
                generator.manual_seed(seed)
        self._axes = axes

    def __call__(self, like: Tensor, axes: int | None = None) -> Tensor:
        """Standard normal numbers of the shape of `like`, whose first axis counts the samples.

        `axes` is the number of last axes that make one element, where that is no image but a measurement.
        """
        axes = self._axes if axes is None else axes
        axes = like.ndim - 1 if axes is None else axes
        dtype = like.dtype.to_real()
        shape: tuple[int, ...] = like.shape[like.ndim - axes :]
        shape = (*shape, 2) if like.is_complex() else shape
        each = [torch.randn(shape, generator=g, dtype=dtype, device=self._device) for g in self._generators]
        drawn = torch.stack(each)
        drawn = (torch.view_as_complex(drawn) if like.is_complex() else drawn).to(like.device)
        between = (1,) * (like.ndim - 1 - axes)
        return drawn.reshape(len(drawn), *between, *drawn.shape[1:]).expand(like.shape)

    @property
    def state(self) -> Tensor:
        """What is needed to go on, one row for each sample."""
        return torch.stack([generator.get_state() for generator in self._generators])
