"""Direct reconstruction: filtered backprojection of parallel, fan and cone beams."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from invgen.core.disk import by_slabs, is_on_disk
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators.toeplitz import fast_length
from invgen.operators.tomography import ConeBeam, FanBeam, Radon
from invgen.operators.tomography.backprojection import ConeBackprojection, FanBackprojection, refined
from invgen.operators.tomography.divergent import FanGeometry
from invgen.operators.tomography.redundancy import ray_weights
from invgen.problem import Problem
from invgen.solvers.direct.base import DirectSolver
from invgen.solvers.direct.extrapolation import Continuation
from invgen.solvers.direct.filters import WINDOWS, ramp_filter, window_response

__all__ = ["FBP", "FDK"]

#: Numbers of filtered views that are held at a time.
_CHUNK = 1 << 21


@dataclass(frozen=True, kw_only=True)
class _Filtered(DirectSolver):
    """What `FBP` and `FDK` share: the window on the ramp."""

    window: str = "hann"
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window not in WINDOWS:
            raise ParameterError(f"window is one of {', '.join(WINDOWS)}; got {self.window!r}.")
        if not 0 < self.cutoff <= 1:
            raise ParameterError(f"cutoff is a fraction of the Nyquist frequency; got {self.cutoff}.")

    def _filtered(self, geometry: FanGeometry, rows: torch.Tensor) -> torch.Tensor:
        """Views of a fan, or rows of a panel, filtered along the detector; see `refined`.

        The ramp is that of bins as they are at the axis. On a curved detector its kernel is multiplied by
        ``(g / sin g)^2``, Kak and Slaney (1988), sec. 3.4.1.
        """
        count, spacing = geometry.detector_count, geometry.detector_spacing / geometry.magnification
        n = fast_length(2 * count)
        response = ramp_filter(n, spacing)
        if geometry.curved:
            lag = torch.arange(n)
            lag = torch.minimum(lag, n - lag)
            angle = lag * (geometry.detector_spacing / geometry.source_detector)
            stretch = torch.where((lag > 0) & (lag < count), angle / angle.sin(), 1)
            response = torch.fft.rfft(torch.fft.irfft(response, n=n) * stretch**2).real
        frequencies = torch.arange(n // 2 + 1, dtype=torch.float64) * (2 / n)
        response = response * window_response(self.window, self.cutoff, frequencies)
        return refined(torch.fft.rfft(rows, n=n) * response.to(rows), n, count)


@dataclass(frozen=True, kw_only=True)
class FBP(_Filtered):
    """Filtered backprojection of parallel-beam and fan-beam data, Kak and Slaney (1988), chapter 3.

    Filters each view by the band-limited ramp and smears it back over the image. Parallel beams: sections
    3.1 to 3.3, the filtered projections evaluated at the pixels' centers by trigonometric interpolation, as
    an adjoint non-uniform FFT, exactly and for all views together. Fan beams: section 3.4, flat or curved,
    each ray weighted by the cosine of its angle. Where lines are measured twice, as on full turns, short
    scans (Parker 1982) and by displaced detectors (Wang 2002), each ray is weighted by its share, so that
    these are all right; see `invgen.operators.tomography.redundancy.ray_weights`.
    Views that the detector cuts are continued, see `invgen.solvers.direct.extrapolation.Continuation`.
    What is not measured, because views are missing, is missing in the image.

    A linear map of the data, except where views are continued, and differentiable: see
    `invgen.solvers.direct.base.DirectSolver`. Views need not be equispaced. Noise and weights play no role.

    Parameters
    ----------
    window : {"ram-lak", "shepp-logan", "cosine", "hamming", "hann"}
        Window on the ramp: from the sharpest to the smoothest.
    cutoff : float
        Fraction of the Nyquist frequency beyond which nothing is kept, in (0, 1].
    """

    def image(self, problem: Problem) -> torch.Tensor:
        """The image, shape (*batch, *image_shape)."""
        A = problem.operator
        rows, batch = A.range.flatten(problem.measurement)
        if isinstance(A, Radon):
            image = self._parallel(A, rows)
        elif isinstance(A, FanBeam):
            image = self._fan(A, rows)
        else:
            raise CapabilityError(
                f"FBP needs parallel-beam or fan-beam projections (Radon, FanBeam); {A.name} has none. "
                "Use FDK for ConeBeam, CG or SIRT for others."
            )
        return A.restrict(image.reshape(*batch, *A.domain.shape))

    def _parallel(self, A: Radon, rows: torch.Tensor) -> torch.Tensor:
        g, slices = A.geometry, A.padded_slices
        weights = ray_weights(g, True) if A.truncates else g.view_weights()[:, None]
        rows = rows * weights.to(rows)
        if A.truncates:
            rows = Continuation.of(g, rows)(rows)
        frequencies = slices.sigma * 2 * g.detector_spacing
        response = ramp_filter(slices.n, g.detector_spacing)[: len(frequencies)]
        response = response * window_response(self.window, self.cutoff, frequencies)
        response = response * g.detector_spacing
        # from_detector gives the coefficients of the trigonometric polynomial through the samples
        return slices.H._call(slices.from_detector(rows) * response.to(rows))

    def _fan(self, A: FanBeam, rows: torch.Tensor) -> torch.Tensor:
        g = A.geometry
        rows = rows * (ray_weights(g, A.truncates) * g.fan_angles(g.bins()).cos()).to(rows)
        if A.truncates:
            continued = Continuation.of(g, rows)
            g, rows = continued.geometry, continued(rows)
        return FanBackprojection(g)._call(self._filtered(g, rows))


@dataclass(frozen=True, kw_only=True)
class FDK(_Filtered):
    """Filtered backprojection of cone-beam data, Feldkamp, Davis and Kress (1984), eq. 28.

    As `FBP` of a fan beam on each row of the panel, with the cosine of the ray's angle to the central one in
    space, and smeared back along the rays. Exact in the plane of the source; off it a circular orbit does not
    determine the object, and values fall with the cone angle. Short scans and displaced detectors are
    weighted as those of a fan, by columns, and views that are cut at the sides are continued. Linear and
    differentiable as `FBP` is.

    Parameters
    ----------
    window : {"ram-lak", "shepp-logan", "cosine", "hamming", "hann"}
        Window on the ramp: from the sharpest to the smoothest.
    cutoff : float
        Fraction of the Nyquist frequency beyond which nothing is kept, in (0, 1].
    """

    def image(self, problem: Problem) -> torch.Tensor:
        """The volume, shape (*batch, *volume_shape)."""
        A = problem.operator
        if not isinstance(A, ConeBeam):
            raise CapabilityError(f"FDK needs cone-beam projections (ConeBeam); {A.name} has none. Use FBP.")
        y, batch = A.range.flatten(problem.measurement)
        g, fan = A.geometry, A.geometry.fan
        u, v, d = fan.bins(), g.rows()[:, None], fan.source_detector
        cosine = d / (d * d + u * u + v * v).sqrt()
        y = by_slabs(lambda y, w: y * (w * cosine).to(y), y, ray_weights(fan, A.truncates)[:, None])
        continued = Continuation.of(fan, y) if A.truncates else None
        wide = fan if continued is None else continued.geometry

        def filtered(y: torch.Tensor) -> torch.Tensor:
            return self._filtered(wide, y if continued is None else continued(y))

        # filtered views are four times as large: a few at a time, unless they are kept on disk
        views = len(g.angles) if is_on_disk(y) else max(1, _CHUNK // (g.row_count * fan.detector_count))
        x = y.new_zeros(len(y), *A.domain.shape)
        for first in range(0, len(g.angles), views):
            chosen = slice(first, first + views)
            part = replace(g, fan=replace(wide, angles=g.angles[chosen]))
            x += ConeBackprojection(part)._call(by_slabs(filtered, y[:, chosen]))
        return A.restrict(x.reshape(*batch, *A.domain.shape))
