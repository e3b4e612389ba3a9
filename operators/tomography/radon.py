"""The parallel-beam Radon transform."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.errors import ParameterError
from invgen.operators.base import LinearOperator
from invgen.operators.frozen import Constant
from invgen.operators.space import Space
from invgen.operators.tomography.fourier import Convolution, FourierProjector, FourierSlices, fast_length
from invgen.operators.tomography.geometry import parallel_beam
from invgen.operators.tomography.joseph import JosephProjector
from invgen.operators.tomography.odl import parallel_parameters

__all__ = ["Radon"]


class Radon(LinearOperator):
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
        Number of bins; by default as many as cover the image's diagonal.
    detector_spacing : float, optional
        Width of a bin; by default the pixel size.
    detector_offset : float
        Displacement of the detector towards positive s: the rotation axis projects to the bin
        ``(detector_count - 1) / 2 - detector_offset / detector_spacing``.
    pixel_size : float
        Side of a pixel; all lengths are in one unit, of the caller's choice.
    fov : {"image", "disc"}, optional
        Where the object is: anywhere in the image, or only in the disc that every view sees, of the radius
        from the rotation axis to the nearer edge of the detector (pixels outside are zero). The default is
        "image" where the detector sees all of it in every view, else "disc".
    method : {"fourier", "joseph"}
        "fourier": pixels are boxes, bins average over their width; by non-uniform FFT through the Fourier
        slice theorem. The fastest; it rings a little and has small negative entries. Its ``gram`` is one
        padded FFT pair, except where ``fov="image"`` and the detector truncates projections.
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
        fov: str | None = None,
        method: str = "fourier",
    ) -> None:
        g = parallel_beam(image_shape, angles, detector_count, detector_spacing, detector_offset, pixel_size)
        super().__init__(Space(g.image_shape), Space((len(g.angles), g.detector_count)))
        if fov not in (None, "image", "disc"):
            raise ParameterError(f"fov is 'image' or 'disc'; got {fov!r}.")
        if method not in ("fourier", "joseph"):
            raise ParameterError(f"method is 'fourier' or 'joseph'; got {method!r}.")
        self.geometry = g
        self.method = method
        self.fov = fov or ("image" if g.sees_whole_image else "disc")
        self.nonnegative = method == "joseph"
        self._mask = Constant(g.disc()) if self.fov == "disc" else None
        self._truncates = self.fov == "image" and not g.sees_whole_image
        self._projector = FourierProjector(g, self._truncates) if method == "fourier" else JosephProjector(g)

    @property
    def angles(self) -> torch.Tensor:
        """View angles in radians, float64 (views,)."""
        return self.geometry.angles

    @classmethod
    def from_odl(cls, geometry: Any, domain: Any, fov: str | None = None, method: str = "fourier") -> Radon:
        """Take the geometry from ODL; see `invgen.operators.tomography.odl` for how its arrays lie.

        Parameters
        ----------
        geometry : odl.applications.tomo.Parallel2dGeometry
        domain : odl.DiscretizedSpace
            Images, ``odl.uniform_discr`` of two axes with square pixels around the origin.
        fov, method
            As in the constructor.

        Raises
        ------
        DtypeError, CapabilityError
            For another geometry, or one that this operator has no parameters for.
        """
        return cls(**parallel_parameters(geometry, domain), fov=fov, method=method)

    @cached_property
    def padded_slices(self) -> FourierSlices:
        """Fourier slices of detector rows padded to twice their length, which filtering needs."""
        return FourierSlices(self.geometry, fast_length(2 * self.geometry.detector_count))

    @cached_property
    def spectrum(self) -> Constant:
        """Of the circulant matrix nearest to the gram operator, T. Chan (1988)."""
        height, width = self.domain.shape
        projector = self._projector
        if not isinstance(projector, FourierProjector):
            projector = FourierProjector(self.geometry, False)
        kernel = projector.gram_kernel[1:, 1:]
        rows, columns = (torch.arange(1 - n, n) for n in (height, width))
        kernel = kernel * (1 - rows.abs() / height)[:, None] * (1 - columns.abs() / width)
        wrapped = kernel.new_zeros(height, width)
        places = (rows % height)[:, None].expand(kernel.shape), (columns % width).expand(kernel.shape)
        wrapped.index_put_(places, kernel, accumulate=True)
        return Constant(torch.fft.fft2(wrapped).real.clamp(min=0).contiguous())

    def estimate_noise(self, y: torch.Tensor) -> torch.Tensor | None:
        """From fourth differences along the detector, robustly (Donoho and Johnstone 1994, sec. 4.2).

        Projections are smooth, so that their fourth differences are noise but for few; the median looks past
        those.
        """
        if y.shape[-1] < 5:
            return None
        differences = torch.diff(y, n=4, dim=-1).flatten(-2).abs()
        # their variance is 1 + 16 + 36 + 16 + 1 times the noise's; half of normal numbers are within 0.6745
        return differences.median(dim=-1).values / (0.6745 * 70**0.5)

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with what lies outside of the field of view set to zero."""
        return x if self._mask is None else x * self._mask.like(x)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self.domain.flatten(self.restrict(x))
        return self._projector.forward(flat).reshape(*batch, *self.range.shape)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        flat, batch = self.range.flatten(y)
        return self.restrict(self._projector.adjoint(flat).reshape(*batch, *self.domain.shape))

    def _gram(self) -> LinearOperator:
        if isinstance(self._projector, FourierProjector) and not self._truncates:
            return Convolution(self._projector.gram_kernel, self._mask)
        return super()._gram()
