"""The parallel-beam Radon transform."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.core.kernels import Kernels
from invgen.operators.linear import LinearOperator
from invgen.operators.toeplitz import circulant_symbol, fast_length
from invgen.operators.tomography import joseph_torch
from invgen.operators.tomography.fourier import Convolution, FourierProjector, FourierSlices
from invgen.operators.tomography.geometry import parallel_beam
from invgen.operators.tomography.odl import parallel_parameters
from invgen.operators.tomography.projection import Fov, Projection
from invgen.operators.tomography.projector import Projector, RayProjector, both_ways
from invgen.operators.tomography.rays import ParallelRays

__all__ = ["Radon"]


def _cpu() -> Projector[ParallelRays]:
    from invgen.operators.tomography import joseph_cpu

    return joseph_cpu


def _gpu() -> Projector[ParallelRays]:
    from invgen.operators.tomography import joseph_gpu

    return joseph_gpu


def _trial(projector: Projector[ParallelRays], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    rays = ParallelRays(parallel_beam((20, 17), 12, 25, 0.9, 0.3, 1.0))
    return both_ways(projector, rays, (20, 17), (12, 25), device)


class JosephProjector(RayProjector):
    """Joseph's projector for parallel rays."""

    kernels = Kernels[Projector[ParallelRays]](joseph_torch, cpu=_cpu, gpu=_gpu, trial=_trial)


class Radon(Projection):
    """Parallel-beam projection: images (H, W) to sinograms (views, detector).

    The ray of view angle t and detector position s is the line ``s = x cos t + y sin t``, x to the right,
    y up, the centre of the image at the origin. Sinograms are line integrals: pixel value times length.

    Parameters
    ----------
    image_shape : (int, int)
        Height and width in pixels.
    angles : int or sequence of float, shape (views,)
        View angles in radians; a number n means n equispaced views over pi, ``k pi / n``.
    detector_count : int, optional
        Number of bins; by default the fewest that cover the image's diagonal.
    detector_spacing : float, optional
        Width of a bin; by default the pixel size.
    detector_offset : float
        Displacement of the detector towards positive s: the rotation axis projects to the bin
        ``(detector_count - 1) / 2 - detector_offset / detector_spacing``.
    pixel_size : float
        Side of a pixel; all lengths are in one unit, of the caller's choice.
    fov : {"image", "disc"} or float, optional
        Where the object is: anywhere in the image; only in the disc that every view sees, of the radius from
        the rotation axis to the nearer edge of the detector; or only in the disc of this radius (pixels
        outside are zero). The default is "image" where the detector sees all of it in every view, else
        "disc". A scan of a full turn whose axis is near an edge sees, from one side or the other, the disc
        of the radius ``geometry.farthest``.
    method : {"fourier", "joseph"}
        "fourier": pixels are boxes, bins average over their width; by non-uniform FFT through the Fourier
        slice theorem. The fastest; it rings a little and has small negative entries. Its ``gram`` is one
        padded FFT pair, except where the detector truncates projections of what is in `fov`.
        "joseph": linear interpolation along one ray through the centre of each bin (Joseph 1982).
        Non-negative, local, exact transpose.

    Raises
    ------
    ParameterError, ShapeError, DataError
        For a geometry that cannot be.
    """

    def __init__(
        self,
        image_shape: tuple[int, int],
        angles: Any,
        detector_count: int | None = None,
        detector_spacing: float | None = None,
        detector_offset: float = 0.0,
        pixel_size: float = 1.0,
        fov: Fov | None = None,
        method: str = "fourier",
    ) -> None:
        g = parallel_beam(image_shape, angles, detector_count, detector_spacing, detector_offset, pixel_size)
        if method not in ("fourier", "joseph"):
            raise ParameterError(f"method is 'fourier' or 'joseph'; got {method!r}.")
        super().__init__(g, g.image_shape, (len(g.angles), g.detector_count), fov)
        self.method = method
        self.nonnegative = method == "joseph"
        self._projector = (
            FourierProjector(g, self.truncates) if method == "fourier" else JosephProjector(ParallelRays(g))
        )

    def rebuilt(self, angles: torch.Tensor, detector_offset: float, fov: Fov | None) -> Radon:
        """The operator of the same scanner with other views, offset of the columns, and field of view."""
        g = self.geometry
        return Radon(
            g.image_shape,
            angles,
            g.detector_count,
            g.detector_spacing,
            detector_offset,
            g.pixel_size,
            fov,
            self.method,
        )

    @classmethod
    def from_odl(cls, geometry: Any, domain: Any, fov: Fov | None = None, method: str = "fourier") -> Radon:
        """Take the geometry from ODL; see `invgen.operators.tomography.odl` for how its arrays lie.

        Parameters
        ----------
        geometry : odl.applications.tomo.Parallel2dGeometry
        domain : odl.DiscretizedSpace
            Images, ``odl.uniform_discr`` of two axes with square pixels around the origin.
        fov, method
            As in the constructor; ODL itself projects all of the domain, ``fov="image"``.

        Raises
        ------
        DtypeError, CapabilityError
            For another geometry, or one that this operator has no parameters for.
        """
        return cls(**parallel_parameters(geometry, domain), fov=fov, method=method)

    @cached_property
    def padded_slices(self) -> FourierSlices:
        """Fourier slices of detector rows padded to twice their length, which filtering needs.

        Where the detector truncates projections, of rows that are continued beyond its edges.
        """
        geometry = self.geometry.continued if self.truncates else self.geometry
        return FourierSlices(geometry, fast_length(2 * geometry.detector_count))

    @cached_property
    def spectrum(self) -> Constant:
        """Of the circulant matrix nearest to the gram operator."""
        projector = self._projector
        if not isinstance(projector, FourierProjector):
            projector = FourierProjector(self.geometry, False)
        return Constant(circulant_symbol(projector.gram_kernel))

    def _gram(self) -> LinearOperator:
        if isinstance(self._projector, FourierProjector) and not self.truncates:
            return Convolution(self._projector.gram_kernel, self._mask)
        return super()._gram()
