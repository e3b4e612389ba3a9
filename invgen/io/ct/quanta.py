"""Detected quanta, where they are so few that the logarithm of their number is no measure of the object."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, pad

from invgen.core.disk import some_slices

__all__ = ["Quanta"]

#: Quanta of a ray below which the logarithm of their number is biased, and its noise is not Gaussian; and the
#: fraction of the rays that have fewer, where that matters.
_FEW, _SOME = 25.0, 0.01
#: Widths of the windows, in views and in columns, over which quanta are averaged, from narrow to wide; and
#: the number of standard deviations that their sum is to have.
_WINDOWS, _CLEAR = (1, 3, 5, 9, 15), 5.0


@dataclass(frozen=True)
class Quanta:
    """Detected quanta of each ray, of which transmission is the ratio.

    Attributes
    ----------
    counts : tensor, shape (views, columns) or (views, rows, columns)
        Readings less the dark field, over the gain; below zero where the detector's noise exceeds them.
    open : tensor of the same shape
        Their expectation without the object.
    variance : tensor of the same shape
        Of the detector's readings, without that of the quanta.
    """

    counts: torch.Tensor
    open: torch.Tensor
    variance: torch.Tensor

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Quanta:
        """Return the same change of all three."""
        return Quanta(change(self.counts), change(self.open), change(self.variance))

    @property
    def arrays(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All three."""
        return self.counts, self.open, self.variance

    @classmethod
    def joined(cls, parts: list[Quanta], join: Callable[[list[torch.Tensor]], torch.Tensor]) -> Quanta:
        """Several as one, all three joined in the same way."""
        return cls(
            join([part.counts for part in parts]),
            join([part.open for part in parts]),
            join([part.variance for part in parts]),
        )

    @property
    def fewest(self) -> float:
        """What all but one percent of the rays exceed, without those that have no open beam."""
        counts = some_slices(self.counts)[some_slices(self.open) > 0]
        return float(np.quantile(counts.numpy(), _SOME)) if len(counts) else math.inf

    @property
    def are_few(self) -> bool:
        """Whether some rays have so few quanta that their logarithm is biased."""
        # how many lie below decides, unless the quantile is between the last of them and the next
        counts = self.counts if bool((self.open > 0).all()) else self.counts[self.open > 0]
        fewer, place = int((counts < _FEW).sum()), math.floor(_SOME * (counts.numel() - 1))
        return self.fewest < _FEW if fewer == place + 1 else fewer > place

    def line_integrals(self) -> torch.Tensor:
        """Line integrals of quanta averaged over so many neighbors that their sum is well above its noise.

        Of one row of the detector. Where quanta are many the rays stay as they are: adaptive filtering,
        Kachelriess, Watzke and Kalender (2001). Averages before the logarithm are not biased as it is, and
        blurred instead.
        """
        lines = torch.zeros_like(self.counts)
        done = torch.zeros_like(lines, dtype=torch.bool)
        for width in (w for w in _WINDOWS if w // 2 < min(lines.shape)):
            counts, beam, variance = (_averaged(x, width) for x in (self.counts, self.open, self.variance))
            noise = ((counts.clamp(min=0) + variance) / width**2).sqrt()
            clear = counts > _CLEAR * noise
            # what is not above its noise in the widest window is as low as can be told
            value = -(counts.maximum(noise) / beam.clamp(min=1e-6)).clamp(min=1e-6).log()
            lines = torch.where(done, lines, value)
            done = done | clear
        return lines


def _averaged(x: torch.Tensor, width: int) -> torch.Tensor:
    """Running mean over a square window, mirrored at the edges."""
    half = width // 2
    return avg_pool2d(pad(x[None, None], (half,) * 4, mode="reflect"), width, stride=1)[0, 0]
