"""Random numbers that follow from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

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
    negated : sequence of bool, optional
        Samples that get their numbers with the other sign; by default none.
    """

    def __init__(
        self,
        seeds: Sequence[int] | Tensor,
        axes: int | None = None,
        *,
        device: torch.device | str | None = None,
        negated: Sequence[bool] | None = None,
    ) -> None:
        self._device = torch.device("cpu" if device is None else device)
        self._generators = [torch.Generator(self._device) for _ in seeds]
        self._negated = [False] * len(seeds) if negated is None else list(negated)
        for k, (generator, seed) in enumerate(zip(self._generators, seeds, strict=True)):
            if isinstance(seed, Tensor):
                generator.set_state(seed[:-1].cpu().clone())  # of a view it crashes
                self._negated[k] = bool(seed[-1])
            else:
                generator.manual_seed(seed)
        self._axes = axes

    @classmethod
    def antithetic(
        cls, seeds: Sequence[int], first: int, *, device: torch.device | str | None = None
    ) -> Self:
        """Those of antithetic pairs: each second sample gets the numbers of the one before, negated.

        Parameters
        ----------
        seeds : sequence of int
            One for each sample, as if they were independent.
        first : int
            Where the first pair begins: these may be some of many samples.
        device : torch.device
            Of the numbers.
        """
        second = [(seed - first) % 2 for seed in seeds]
        own = [seed - odd for seed, odd in zip(seeds, second, strict=True)]
        return cls(own, device=device, negated=[bool(odd) for odd in second])

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
        drawn = torch.stack([-x if negated else x for x, negated in zip(each, self._negated, strict=True)])
        drawn = (torch.view_as_complex(drawn) if like.is_complex() else drawn).to(like.device)
        between = (1,) * (like.ndim - 1 - axes)
        return drawn.reshape(len(drawn), *between, *drawn.shape[1:]).expand(like.shape)

    @property
    def state(self) -> Tensor:
        """What is needed to go on, one row for each sample."""
        signs = torch.tensor(self._negated, dtype=torch.uint8)[:, None]
        return torch.cat([torch.stack([generator.get_state() for generator in self._generators]), signs], 1)
