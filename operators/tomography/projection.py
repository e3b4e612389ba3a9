"""What the projections of all beams share."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Literal, Self

import torch

from invgen.core.disk import some_slices
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.core.space import IMAGE_AXES, Space
from invgen.operators.linear import LinearOperator

__all__ = ["Fov", "Projection"]

#: Where the object may be: anywhere in the image, in the disc that every view sees, or in that of a radius.
Fov = Literal["image", "disc"] | float


class Projection(LinearOperator):
    """Base of `Radon`, `FanBeam` and `ConeBeam`: field of view, noise level, both directions.

    Attributes
    ----------
    geometry : ParallelBeam, FanGeometry or ConeGeometry
    fov : "image", "disc" or float
        Where the object may be: anywhere in the image, in the disc that every view sees, or in the disc of
        that radius.
    truncates : bool
        Whether it may reach to where not every view sees it.
    """

    _projector: Any

    def __init__(
        self, geometry: Any, domain: tuple[int, ...], range: tuple[int, ...], fov: Fov | None
    ) -> None:
        rows = ("row",) if len(range) == 3 else ()  # of the panel of a cone beam
        super().__init__(
            Space(domain, names=("slice", *IMAGE_AXES)[-len(domain) :]),
            Space(range, names=("view", *rows, "column")),
        )
        self.geometry = geometry
        plane = self._plane
        self.fov = _checked(fov) or plane.default_fov
        radius = plane.reach if self.fov == "disc" else math.inf if self.fov == "image" else self.fov
        self.truncates = radius > plane.reach * (1 + 1e-12) and not plane.sees_whole_image
        self._mask = None if self.fov == "image" else Constant(plane.disc(radius))

    @property
    def _plane(self) -> Any:
        """Geometry of a slice across the axis."""
        return self.geometry

    @property
    def angles(self) -> torch.Tensor:
        """View angles in radians, float64 (views,)."""
        return self.geometry.angles

    def rebuilt(self, angles: torch.Tensor, detector_offset: float, fov: Fov | None) -> Any:
        """The operator of the same scanner with other views, offset of the columns, and field of view."""
        raise NotImplementedError

    def subset(self, views: Any) -> Self:
        """The operator of some of the views, chosen by a slice, indices or a mask."""
        return self.rebuilt(self.angles[views], self._plane.detector_offset, self.fov)

    def estimate_noise(self, y: torch.Tensor) -> torch.Tensor | None:
        """From fourth differences along the detector, robustly (Donoho and Johnstone 1994, sec. 4.2).

        Projections are smooth, so that all but few of their fourth differences are noise; the median is
        robust against those few. Of data on disk some views stand for all.
        """
        if y.shape[-1] < 5:
            return None
        y = some_slices(y)
        differences = torch.diff(y, n=4, dim=-1).flatten(-len(self.range.shape)).abs()
        # their variance is 1 + 16 + 36 + 16 + 1 times the noise's; half of a Gaussian lies within 0.6745
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


def _checked(fov: Any) -> Fov | None:
    if fov in (None, "image", "disc"):
        return fov
    if isinstance(fov, Real) and not isinstance(fov, bool) and 0 < float(fov) < math.inf:
        return float(fov)
    raise ParameterError(f"fov is 'image', 'disc' or the radius of a disc, a positive length; got {fov!r}.")
