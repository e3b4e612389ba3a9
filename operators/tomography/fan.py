"""Fan-beam projection."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch

from invgen.core.frozen import Constant
from invgen.core.kernels import Kernels
from invgen.operators.toeplitz import circulant_symbol
from invgen.operators.tomography import fan_torch
from invgen.operators.tomography.divergent import FanGeometry, fan_geometry
from invgen.operators.tomography.fourier import FourierProjector
from invgen.operators.tomography.geometry import ParallelBeam
from invgen.operators.tomography.odl import fan_parameters
from invgen.operators.tomography.projection import Fov, Projection
from invgen.operators.tomography.projector import Projector, RayProjector, both_ways
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["FanBeam"]

#: Number of directions, of all rays of a view, that the preconditioner averages over.
_FAN_DIRECTIONS = 5


def _cpu() -> Projector[DivergentRays]:
    from invgen.operators.tomography import fan_cpu

    return fan_cpu


def _gpu() -> Projector[DivergentRays]:
    from invgen.operators.tomography import fan_gpu

    return fan_gpu


def _trial(projector: Projector[DivergentRays], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    geometry = fan_geometry((20, 17), 12, 30.0, 40.0, 31, 1.1, 0.3, True, 1.0)
    return both_ways(projector, DivergentRays(geometry.as_cone()), (20, 17), (12, 31), device)


class FanProjector(RayProjector):
    """Joseph's projector for fans of rays."""

    kernels = Kernels[Projector[DivergentRays]](fan_torch, cpu=_cpu, gpu=_gpu, trial=_trial)


class FanBeam(Projection):
    """Fan-beam projection: images (H, W) to sinograms (views, detector).

    x points to the right, y up, the rotation axis is the origin, at the centre of the image. At view angle t
    the detector's axis points along ``e_u = (cos t, sin t)`` and the central ray along ``(-sin t, cos t)``:
    the source is at ``source_origin (sin t, -cos t)``. Sinograms are line integrals, pixel value times
    length, along the rays to the bins' centres, by linear interpolation (Joseph 1982).

    Parameters
    ----------
    image_shape : (int, int)
        Height and width in pixels.
    angles : int or sequence of float, shape (views,)
        View angles in radians; a number n means n equispaced views over 2 pi, ``2 k pi / n``.
    source_origin : float
        Distance from the source to the rotation axis.
    source_detector : float
        Distance from the source to the detector, along the central ray.
    detector_count : int, optional
        Number of bins; by default the fewest that see the circle around the image.
    detector_spacing : float, optional
        Width of a bin on the detector; by default the pixel size times the magnification
        ``source_detector / source_origin``.
    detector_offset : float
        Displacement of the detector along e_u, measured on the detector: the rotation axis projects to the
        bin ``(detector_count - 1) / 2 - detector_offset / detector_spacing``.
    curved : bool
        Whether the detector is part of a circle around the source, with bins at equal angles (their spacing
        and offset are lengths of arc), or flat and perpendicular to the central ray.
    pixel_size : float
        Side of a pixel; all lengths are in one unit, of the caller's choice.
    fov : {"image", "disc"} or float, optional
        Where the object is: anywhere in the image; only in the disc that every view sees; or only in the disc
        of this radius around the axis (pixels outside are zero), as of a half-fan ``geometry.farthest``. The
        default is "image" where the detector sees all of it in every view, else "disc".

    Attributes
    ----------
    geometry : FanGeometry

    Raises
    ------
    ParameterError
        Where a length makes no sense: the source within the image, the axis off the detector.
    """

    nonnegative = True

    def __init__(
        self,
        image_shape: tuple[int, int],
        angles: Any,
        source_origin: float,
        source_detector: float,
        detector_count: int | None = None,
        detector_spacing: float | None = None,
        detector_offset: float = 0.0,
        curved: bool = False,
        pixel_size: float = 1.0,
        fov: Fov | None = None,
    ) -> None:
        g = fan_geometry(
            image_shape,
            angles,
            source_origin,
            source_detector,
            detector_count,
            detector_spacing,
            detector_offset,
            curved,
            pixel_size,
        )
        super().__init__(g, g.image_shape, (len(g.angles), g.detector_count), fov)
        self._projector = FanProjector(DivergentRays(g.as_cone()))

    @classmethod
    def from_odl(cls, geometry: Any, domain: Any, fov: Fov | None = None) -> FanBeam:
        """Take the geometry from ODL; see `invgen.operators.tomography.odl` for how its arrays lie.

        Parameters
        ----------
        geometry : odl.applications.tomo.FanBeamGeometry
            Circular; the detector flat, or curved around the source (ODL counts the bins of a curved one in
            radians).
        domain : odl.DiscretizedSpace
            Images, ``odl.uniform_discr`` of two axes with square pixels around the origin.
        fov
            As in the constructor; ODL itself projects all of the domain, ``"image"``.

        Raises
        ------
        DtypeError, CapabilityError
            For another geometry, or one that this operator has no parameters for.
        """
        return cls(**fan_parameters(geometry, domain), fov=fov)

    def rebuilt(self, angles: torch.Tensor, detector_offset: float, fov: Fov | None) -> FanBeam:
        """The operator of the same scanner with other views, offset of the columns, and field of view."""
        g = self.geometry
        return FanBeam(
            g.image_shape,
            angles,
            g.source_origin,
            g.source_detector,
            g.detector_count,
            g.detector_spacing,
            detector_offset,
            g.curved,
            g.pixel_size,
            fov,
        )

    @cached_property
    def spectrum(self) -> Constant:
        """Of the circulant matrix nearest to the gram operator of parallel beams; see `fan_kernel`."""
        return Constant(circulant_symbol(fan_kernel(self.geometry)))


def fan_kernel(geometry: FanGeometry) -> torch.Tensor:
    """Approximate point response of projection and backprojection, float64 (2H, 2W).

    It is that of parallel beams with the fan's bins as they are at the axis, averaged over the directions
    that the rays of a view have. Bins wider than pixels are divided: parallel beams are averaged over a bin,
    whereas a fan's rays go through its middle.
    """
    g = geometry
    spacing = g.detector_spacing / g.magnification
    cuts = max(1, math.ceil(spacing / g.pixel_size - 1e-9))
    directions = torch.linspace(*g.edges(), _FAN_DIRECTIONS, dtype=torch.float64)
    parallel = ParallelBeam(
        g.image_shape,
        (g.angles + directions[:, None]).flatten(),
        g.detector_count * cuts,
        spacing / cuts,
        g.detector_offset / g.magnification,
        g.pixel_size,
    )
    return FourierProjector(parallel, False).gram_kernel / (_FAN_DIRECTIONS * cuts)
