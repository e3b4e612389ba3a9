"""Slices as they are read, and as they are reconstructed: what one stage of a run hands to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from invgen.pipeline.calibrations import Bounds
from invgen.pipeline.judging import Judged
from invgen.problem import Problem

__all__ = ["Read", "Solved"]


@dataclass(frozen=True)
class Read:
    """Slices that are reconstructed together, as they were read.

    Attributes
    ----------
    slices : range
    problem : Problem
    reports : tuple of tuples of str
        Of each slice, what was done to its data.
    extra : tensor, or None
        What else a kind of work needs of them, on the CPU.
    """

    slices: range
    problem: Problem
    reports: tuple[tuple[str, ...], ...]
    extra: torch.Tensor | None = None


@dataclass(frozen=True)
class Solved:
    """Slices that were reconstructed together, on the CPU.

    Attributes
    ----------
    images : tensor, shape (slices, H, W), in color (slices, 3, H, W)
        The means, where there are samples.
    samples : tensor, shape (n, slices, H, W) or (n, slices, 3, H, W), or None
    reports : tuple of tuples of str
        Of each slice, what was done to its data.
    statistics : dict
        Those of the solver; see `invgen.Reconstruction`.
    psnr : tuple of float
        Of each slice in dB, where the truth is known.
    plausibility : Judged, or None
        Of methods with a learned prior.
    bounds : Bounds, or None
        Calibrated intervals.
    """

    images: torch.Tensor
    samples: torch.Tensor | None
    reports: tuple[tuple[str, ...], ...]
    statistics: dict[str, Any]
    psnr: tuple[float, ...] = ()
    plausibility: Judged | None = None
    bounds: Bounds | None = None

    def within(self, window: tuple[slice, slice]) -> Solved:
        """The same of some rows and columns of each slice."""
        place = (..., *window)
        judged, bounds = self.plausibility, self.bounds
        if judged is not None and judged.map is not None:
            judged = replace(judged, map=judged.map[place])
        if bounds is not None:
            bounds = replace(bounds, lower=bounds.lower[place], upper=bounds.upper[place])
        return replace(
            self,
            images=self.images[place],
            samples=None if self.samples is None else self.samples[place],
            plausibility=judged,
            bounds=bounds,
        )

    @property
    def iterations(self) -> int:
        """The largest number that one of the slices, or coils, took."""
        return int(torch.as_tensor(self.statistics["iterations"]).max())

    def each(self) -> Iterator[tuple[torch.Tensor, tuple[str, ...], torch.Tensor | None]]:
        """Image, report and samples of each slice."""
        for i, report in enumerate(self.reports):
            yield self.images[i], report, None if self.samples is None else self.samples[:, i]
