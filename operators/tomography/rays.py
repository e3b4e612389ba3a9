"""Rays and pixels as the kernels take them, in pixels: what is prepared once for each operator."""

from __future__ import annotations

import torch

from invgen.core.frozen import Frozen
from invgen.operators.tomography.divergent import ConeGeometry
from invgen.operators.tomography.geometry import ParallelBeam

__all__ = ["FINE", "DivergentRays", "ParallelRays", "PixelShadows"]

#: Samples for each bin, between which pixel-driven backprojection interpolates linearly.
FINE = 4


class ParallelRays(Frozen):
    """The rays of parallel beams.

    Pixel (i, j) is at ``(j - (W - 1) / 2, (H - 1) / 2 - i)``, bin d at ``(first + d) ratio``.

    Attributes
    ----------
    image_shape : (int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    bins : int
    first, ratio : float
    pixel_size : float
        The unit of length.
    """

    def __init__(self, geometry: ParallelBeam) -> None:
        g = geometry
        self.image_shape = g.image_shape
        self.views = torch.stack([g.angles.cos(), g.angles.sin()], dim=1)
        self.bins = g.detector_count
        self.first = g.detector_offset / g.detector_spacing - (g.detector_count - 1) / 2
        self.ratio = g.detector_spacing / g.pixel_size
        self.pixel_size = g.pixel_size


class DivergentRays(Frozen):
    """The rays of a cone beam, from the source to the middles of the panel's pixels.

    Attributes
    ----------
    volume_shape : (int, int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    across, along : float64 tensors, shape (columns,)
        Directions of each column's rays, along the panel's rows and along the central ray.
    up : float64 tensor, shape (rows,)
        Direction along the axis.
    radius : float
        Distance of the source from the axis.
    pixel_size : float
        The unit of length.
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        fan = geometry.fan
        self.volume_shape = geometry.volume_shape
        self.views = torch.stack([fan.angles.cos(), fan.angles.sin()], dim=1)
        self.across, self.along = fan.directions()
        self.up = geometry.rows()
        self.radius = fan.source_origin / fan.pixel_size
        self.pixel_size = fan.pixel_size


class PixelShadows(Frozen):
    """Where the voxels of a cone beam are projected to.

    A voxel whose coordinates from the source are u along the panel's rows, w along the central ray and z
    above the central plane is projected to the sample ``first + scale u / w`` of a row, on a curved detector
    ``first + scale atan(u / w)``, and to the row ``lowest + rise z / w``.

    Attributes
    ----------
    volume_shape : (int, int, int)
    views : float64 tensor, shape (views, 2)
        Cosine and sine of each view angle.
    radius : float
        Distance of the source from the axis.
    first, scale, lowest, rise : float
    curved : bool
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        fan = geometry.fan
        self.volume_shape = geometry.volume_shape
        self.views = torch.stack([fan.angles.cos(), fan.angles.sin()], dim=1)
        self.radius = fan.source_origin / fan.pixel_size
        self.first = -float(fan.bins()[0]) / fan.detector_spacing * FINE
        self.scale = fan.source_detector / fan.detector_spacing * FINE
        self.lowest = -float(geometry.rows()[0]) / geometry.row_spacing
        self.rise = fan.source_detector / geometry.row_spacing
        self.curved = fan.curved
