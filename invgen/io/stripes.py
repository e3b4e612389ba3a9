"""Stripes of a sinogram, which become rings of the image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from invgen.errors import ParameterError
from invgen.io.frames import median_filter
from invgen.io.projections import Projections, require


@dataclass(frozen=True)
class Stripes:
    """Remove stripes by sorting: Vo, Atwood and Drakopoulos (2018), algorithm 3, doi:10.1364/OE.26.028396.

    Each column is sorted by value, a median filter along the detector evens out the sorted columns, and the
    values go back to the places they came from. A pixel with another response has all its sorted values
    shifted, which the filter sees as a line, whatever the object is.

    It smooths fine structure as well, and is no part of the default steps: on the measured tooth scan of the
    tests, whose stripes have the strength of its noise, total variation from every fourth view predicts the
    others to 0.0167 with it and to 0.0168 without. It is worth its price where rings are seen.

    Parameters
    ----------
    size : int or None
        Width of the median filter, odd; None takes 1 % of the columns, between 5 and 21 (the authors' rule).
    """

    size: int | None = None

    def __call__(self, projections: Projections) -> Projections:
        """Smooth the sorted columns."""
        require(projections, "Stripes", "transmission", "absorption")
        size = self.size if self.size is not None else min(21, max(5, projections.columns // 100)) | 1
        if size < 3 or size % 2 == 0:
            raise ParameterError(f"Stripes expects an odd size of 3 or more; got {size}.")
        values, places = projections.data.sort(dim=0, stable=True)
        smooth = torch.empty_like(values).scatter_(0, places, median_filter(values, size, 1))
        change = (smooth - projections.data).square().mean().sqrt()
        return replace(projections, data=smooth).reported(
            f"removed stripes by sorting, median filter of {size} columns: an rms change of {change:.3g}"
        )
