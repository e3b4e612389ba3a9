"""Cone-beam projection."""

from __future__ import annotations

import operator
from functools import cached_property
from typing import Any

import torch

from invgen.core.frozen import Constant, Separable
from invgen.core.kernels import Kernels
from invgen.operators.toeplitz import circulant_symbol
from invgen.operators.tomography import cone_torch
from invgen.operators.tomography.divergent import FanGeometry, cone_geometry
from invgen.operators.tomography.fan import fan_kernel
from invgen.operators.tomography.odl import cone_parameters
from invgen.operators.tomography.projection import Fov, Projection
from invgen.operators.tomography.projector import Projector, RayProjector, both_ways
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["ConeBeam"]


def _cpu() -> Projector[DivergentRays]:
    from invgen.operators.tomography import cone_cpu

    return cone_cpu


def _gpu() -> Projector[DivergentRays]:
    from invgen.operators.tomography import cone_gpu

    return cone_gpu


def _disk() -> Projector[DivergentRays]:
    from invgen.operators.tomography import cone_disk

    return cone_disk


def _trial(projector: Projector[DivergentRays], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    geometry = cone_geometry((9, 11, 12), 7, 20.0, 31.0, (14, 21), (1.2, 1.1), (0.6, -0.3), 1.0)
    return both_ways(projector, DivergentRays(geometry), (9, 11, 12), (7, 14, 21), device)


class ConeProjector(RayProjector):
    """Joseph's projector for cones of rays."""

    kernels = Kernels[Projector[DivergentRays]](cone_torch, cpu=_cpu, gpu=_gpu, disk=_disk, trial=_trial)


class ConeBeam(Projection):
    """Cone-beam projection on a circular orbit: volumes (D, H, W) to projections (views, rows, columns).

    Each slice (H, W) lies as the image of a `FanBeam` does; slices are stacked along z, the rotation axis, in
    the order of growing z, with the middle of the volume at the origin. At view angle t the source is at
    ``source_origin (sin t, -cos t, 0)``; the flat panel is perpendicular to the central ray, its columns run
    along ``e_u = (cos t, sin t, 0)`` and its rows along z. Projections are line integrals, voxel value times
    length, along the rays to the middles of the panel's pixels, by linear interpolation (Joseph 1982).

    Parameters
    ----------
    volume_shape : (int, int, int)
        Slices, height and width in voxels.
    angles : int or sequence of float, shape (views,)
        View angles in radians; a number n means n equispaced views over 2 pi, ``2 k pi / n``.
    source_origin : float
        Distance from the source to the rotation axis.
    source_detector : float
        Distance from the source to the detector, along the central ray.
    detector_shape : (int, int), optional
        Rows and columns; by default the fewest that see the cylinder around the volume.
    detector_spacing : float or (float, float), optional
        Distance of the rows, and of the columns, on the detector; by default the voxel size times the
        magnification ``source_detector / source_origin``.
    detector_offset : (float, float)
        Displacement of the detector along z and along e_u, measured on the detector: the source's plane and
        the rotation axis project to the row and column ``(n - 1) / 2 - offset / spacing``.
    voxel_size : float
        Side of a voxel; all lengths are in one unit, of the caller's choice.
    fov : {"image", "disc"} or float, optional
        Where in each slice the object is: anywhere; only in the disc that every view sees; or only in the
        disc of this radius around the axis (voxels outside are zero), as of a displaced detector
        ``geometry.fan.farthest``. The default is "image" where the detector's columns see all of it, else
        "disc".

    Attributes
    ----------
    geometry : ConeGeometry

    Raises
    ------
    ParameterError
        Where a length makes no sense: the source within the volume, the axis off the detector.
    """

    nonnegative = True

    def __init__(
        self,
        volume_shape: tuple[int, int, int],
        angles: Any,
        source_origin: float,
        source_detector: float,
        detector_shape: tuple[int, int] | None = None,
        detector_spacing: float | tuple[float, float] | None = None,
        detector_offset: tuple[float, float] = (0.0, 0.0),
        voxel_size: float = 1.0,
        fov: Fov | None = None,
    ) -> None:
        g = cone_geometry(
            volume_shape,
            angles,
            source_origin,
            source_detector,
            detector_shape,
            detector_spacing,
            detector_offset,
            voxel_size,
        )
        super().__init__(g, g.volume_shape, (len(g.angles), g.row_count, g.fan.detector_count), fov)
        self._projector = ConeProjector(DivergentRays(g))

    @property
    def _plane(self) -> FanGeometry:
        return self.geometry.fan

    @classmethod
    def from_odl(cls, geometry: Any, domain: Any, fov: Fov | None = None) -> ConeBeam:
        """Take the geometry from ODL; see `invgen.operators.tomography.odl` for how its arrays lie.

        Parameters
        ----------
        geometry : odl.applications.tomo.ConeBeamGeometry
            Circular around z, with a flat detector.
        domain : odl.DiscretizedSpace
            Volumes, ``odl.uniform_discr`` of three axes with cubic voxels around the origin.
        fov
            As in the constructor; ODL itself projects all of the domain, ``"image"``.

        Raises
        ------
        DtypeError, CapabilityError
            For another geometry, or one that this operator has no parameters for.
        """
        return cls(**cone_parameters(geometry, domain), fov=fov)

    def rebuilt(self, angles: torch.Tensor, detector_offset: float, fov: Fov | None) -> ConeBeam:
        """The operator of the same scanner with other views, offset of the columns, and field of view."""
        g, fan = self.geometry, self.geometry.fan
        return ConeBeam(
            g.volume_shape,
            angles,
            fan.source_origin,
            fan.source_detector,
            (g.row_count, fan.detector_count),
            (g.row_spacing, fan.detector_spacing),
            (g.row_offset, detector_offset),
            fan.pixel_size,
            fov,
        )

    @cached_property
    def spectrum(self) -> Constant:
        """That of a fan in each slice, times that of linear interpolation along z."""
        g = self.geometry
        frequencies = torch.fft.fftfreq(g.depth, dtype=torch.float64)
        density = g.fan.pixel_size * g.fan.magnification / g.row_spacing
        along = density * torch.sinc(frequencies) ** 4
        return Separable(operator.mul, along, circulant_symbol(fan_kernel(g.fan)))
