"""The detector's offset of parallel beams, by the method that fits what was measured."""

from __future__ import annotations

import torch

from invgen.operators.tomography.calibration.fan import FEWEST, fit_fan
from invgen.operators.tomography.calibration.wedge import WedgeFit, fit_parallel, without_pedestal
from invgen.operators.tomography.geometry import ParallelBeam

__all__ = ["fit_offset"]


def fit_offset(data: torch.Tensor, geometry: ParallelBeam, cut: bool) -> WedgeFit:
    """Find where the rotation axis projects.

    On a full turn of views that the detector cuts, as of a half-acquisition, from the rays that are measured
    twice. Else by the double wedge, to which the cut edges of half a turn would be the object's own: these
    are filtered first.

    Parameters
    ----------
    data : tensor, float64 (views, columns)
    geometry : ParallelBeam
        Of these views; its offset has no influence.
    cut : bool
        Whether the detector cuts some of the views.
    """
    if cut and geometry.turns_fully and geometry.detector_count >= FEWEST:
        fit = fit_fan(data, geometry.angles, geometry)
        return WedgeFit(-fit.offset, fit.uncertainty, fit.residual, fit.doubt)
    return fit_parallel(without_pedestal(data) if cut else data, geometry.angles)
