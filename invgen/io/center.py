"""The centre of rotation, from the consistency of a sinogram with its own mirror image."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch

from invgen.errors import DataError, InvgenWarning, ParameterError
from invgen.io.projections import Projections, require
from invgen.io.truncation import truncation

_MAX_HARMONIC = 360  # more would cost time and gain nothing: low frequencies carry the object
_SEARCH = (0.1, 0.9)  # of the detector
_MAX_GAP = math.radians(10)
_FINE = 0.01  # columns
_BAND = 8  # frequencies of one noise level: of a single one, chance can make a perfect fit
_COUNTED = 4  # each sample is counted twice by mirroring and twice by padding
_TRUSTED = 10.0  # log-likelihood by which the best centre must beat any other place


class CenterEstimate(float):
    """A detector column, with its `uncertainty`: one standard error, from the curvature of the likelihood."""

    uncertainty: float

    def __new__(cls, value: float, uncertainty: float) -> CenterEstimate:
        """Make the float, and attach its standard error."""
        self = super().__new__(cls, value)
        self.uncertainty = uncertainty
        return self

    def __reduce__(self) -> tuple[type[CenterEstimate], tuple[float, float]]:
        return CenterEstimate, (float(self), self.uncertainty)


@dataclass(frozen=True)
class Center:
    """State the centre of rotation, or find it in the projections: see `find_center`.

    Nothing is resampled: the centre enters as the place of the detector, by `detector_offset`.

    Parameters
    ----------
    value : float or "auto"
        Detector column, counted from 0, to which the rotation axis projects.
    """

    value: float | Literal["auto"] = "auto"

    def __call__(self, projections: Projections) -> Projections:
        """Set the centre."""
        value = find_center(projections) if self.value == "auto" else self.value
        if isinstance(value, str):
            raise ParameterError(f'Center expects a detector column or "auto"; got {value!r}.')
        if not -0.5 <= value <= projections.columns - 0.5:
            raise ParameterError(
                f"the centre of rotation {value:g} is outside of the detector, "
                f"columns 0 to {projections.columns - 1}."
            )
        how = (
            f"found, standard error {value.uncertainty:.2g}" if isinstance(value, CenterEstimate) else "given"
        )
        out = replace(projections, center=float(value))
        return out.reported(
            f"centre of rotation at column {float(value):.2f} of {projections.columns} ({how})"
        )


def find_center(projections: Projections) -> CenterEstimate:
    """Find the centre of rotation by maximum likelihood, to a fraction of a column.

    Seen from behind, a projection is mirrored: with the axis at column c the line integrals obey
    ``p(t + pi, c + s) = p(t, c - s)``, so that views over 180 degrees give a sinogram over 360. The Fourier
    transform of a sinogram of an object of radius R is confined to the double wedge ``|k| <= R |w|`` of
    angular harmonics k and detector frequencies w (Edholm, Lewitt and Lindholm 1986), and a wrong centre puts
    a seam into it that spills out: Vo et al. (2014), doi:10.1364/OE.22.019078, search the centre with the
    least spilled. Here that is done as a fit. At each frequency the harmonics inside of the wedge are fitted
    to the mirrored sinogram by least squares, for any spacing of the angles; the residual is a quadratic
    form of ``exp(i w c)``, known in closed form for every c, and with an unknown noise level of each
    frequency the log-likelihood is the sum of the logarithms of the residuals. That weighting keeps beam
    hardening and drifts, which live at the lowest frequencies, from deciding.
    Views over 360 degrees need no special case: the fit then compares views with their opposites.
    Truncated views, whose cut edges would pull the centre to the middle of the detector, are first filtered.

    Parameters
    ----------
    projections : Projections
        Line integrals; the angles cover 180 degrees or more.

    Returns
    -------
    CenterEstimate
        Detector column, counted from 0.

    Raises
    ------
    DataError
        When the angles cover less than 180 degrees.

    Warns
    -----
    InvgenWarning
        When the data do not tell the centre clearly.
    """
    require(projections, "find_center", "absorption")
    angles = projections.angles.double()
    _require_half_turn(angles)
    n = projections.columns
    middle = (n - 1) / 2
    data = projections.data.double()
    if truncation(projections):
        data = _without_pedestal(data)
    residual = _residual(data, angles)
    if not len(residual.freedom) or not residual.constant.max() > 0:
        return _distrusted(middle, math.inf, "the projections have no structure to find it from")

    coarse = torch.arange(_SEARCH[0] * n, _SEARCH[1] * n, 0.25, dtype=torch.float64) - middle
    levels = residual.levels(coarse)
    weights = residual.weights(levels)
    values = weights @ levels.log()
    best = float(coarse[values.argmin()])
    fine = best + _FINE * torch.arange(-50, 51, dtype=torch.float64)
    near = weights @ residual.levels(fine).log()
    i = int(near.argmin().clamp(1, len(fine) - 2))
    left, least, right = near[i - 1 : i + 2].tolist()
    curvature = (left - 2 * least + right) / _FINE**2
    if not curvature > 0:
        return _distrusted(middle + best, math.inf, "the likelihood has no clear maximum")
    center = middle + float(fine[i]) + (left - right) / (2 * _FINE * curvature)
    uncertainty = 1 / math.sqrt(curvature)
    elsewhere = values[(coarse - best).abs() > 3]
    if uncertainty > 0.5 or (len(elsewhere) and elsewhere.min() - least < _TRUSTED):
        return _distrusted(center, uncertainty, "another place fits nearly as well")
    return CenterEstimate(center, uncertainty)


def _without_pedestal(data: torch.Tensor) -> torch.Tensor:
    """Take away what varies slowly along the detector, and fade out its edges."""
    n = data.shape[1]
    width = n / 16
    reach = math.ceil(3 * width)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=data.dtype) / width) ** 2)
    padded = torch.nn.functional.pad(data[:, None], (reach, reach), mode="replicate")
    slow = torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]
    edge = torch.arange(n, dtype=data.dtype).add(0.5).minimum(n - 0.5 - torch.arange(n)) / (0.1 * n)
    return (data - slow) * torch.sin(edge.clamp(max=1) * math.pi / 2) ** 2


@dataclass(frozen=True)
class _Residual:
    """Residual ``constant - 2 Re(cross exp(2 i w c))`` of the fit at each frequency, of `freedom` numbers."""

    views: int
    frequency: torch.Tensor
    cross: torch.Tensor
    constant: torch.Tensor
    freedom: torch.Tensor
    total: torch.Tensor  # sum of squares of the data, 2 * views numbers

    def levels(self, offsets: torch.Tensor) -> torch.Tensor:
        """Residuals of centres ``middle + offsets``, summed over each band: shape (bands, offsets)."""
        rows = []
        parts = (x.split(_BAND) for x in (self.frequency, self.cross, self.constant))
        for frequency, cross, constant in zip(*parts, strict=True):
            phase = torch.exp(2j * frequency[:, None] * offsets)
            level = constant.sum() - 2 * (cross[:, None] * phase).real.sum(0)
            rows.append(level.maximum(1e-9 * constant.sum()))  # rounding, where the fit is exact
        return torch.stack(rows)

    def weights(self, levels: torch.Tensor) -> torch.Tensor:
        """Weights of the logarithms of the levels in minus the log-likelihood, shape (bands,).

        Half the number of residuals, times the fraction of the fitted power that is not noise: bands of
        nothing but noise would fit well at some wrong centre or other.
        """
        freedom, total = (
            torch.stack([part.sum() for part in x.split(_BAND)]) for x in (self.freedom, self.total)
        )
        fitted = 2 * self.views * torch.tensor([len(part) for part in self.total.split(_BAND)]) - freedom
        noise = levels.min(1).values / freedom
        power = (total - levels.min(1).values) / fitted
        return freedom / _COUNTED * (1 - noise / power).clamp(min=0)


def _residual(data: torch.Tensor, angles: torch.Tensor) -> _Residual:
    """Fit the harmonics of the double wedge at each frequency.

    With ``a = A(w) exp(i w c)``, transforms of the views about c, the mirrored sinogram is ``(a, conj a)``.
    Orthonormal harmonics B = (B1, B2) at the angles and at their opposites leave of it
    ``2 |a|^2 - |B1' a + B2' conj a|^2``, where only the cross term depends on c.
    """
    views, n = data.shape
    frequency = math.pi * torch.arange(1, n + 1, dtype=torch.float64) / n
    transform = torch.fft.rfft(data, 2 * n)[:, 1:] * torch.exp(0.5j * (n - 1) * frequency)

    radius = frequency * n / 2
    highest = (radius + 2 * radius ** (1 / 3) + 1).ceil().long()  # J_k(R w) dies out past k = R w
    most = min(_MAX_HARMONIC, views)
    waves = torch.cat([angles, angles + math.pi])[:, None] * torch.arange(1, most + 1)
    waves = torch.stack([waves.cos(), waves.sin()], 2).flatten(1)
    basis, triangle = torch.linalg.qr(torch.cat([torch.ones(2 * views, 1, dtype=torch.float64), waves], 1))
    # harmonics that these angles cannot tell from lower ones add nothing; after the first, none does
    new = triangle.diagonal().abs() > 1e-6 * math.sqrt(2 * views)
    basis = basis * new
    complete = not new[-2:].any()

    order = (2 * highest).clamp(max=len(new) - 1)
    freedom = 2 * views - new.cumsum(0)[order]
    # a fit that leaves hardly a residual fits noise anywhere
    keep = (freedom > 0.2 * views) & ((highest <= most) | complete)
    transform, order = transform[:, keep], order[keep]
    first, second = (half.T.to(transform.dtype) @ transform for half in basis.split(views))

    def up_to_order(terms: torch.Tensor) -> torch.Tensor:
        return terms.cumsum(0).gather(0, order[None])[0]

    fitted = up_to_order(first.abs() ** 2 + second.abs() ** 2)
    total = 2 * (transform.abs() ** 2).sum(0)
    return _Residual(
        views=views,
        frequency=frequency[keep],
        cross=up_to_order(first * second),
        constant=total - fitted,
        freedom=freedom[keep],
        total=total,
    )


def _require_half_turn(angles: torch.Tensor) -> None:
    directions = (angles % math.pi).sort().values
    gaps = torch.cat([directions, directions[:1] + math.pi]).diff()
    missing = float(gaps.max() - gaps.median())
    if missing > _MAX_GAP:
        raise DataError(
            f"the angles cover {180 - math.degrees(missing):.0f} of the 180 degrees that the search of "
            "the centre of rotation needs. Say where it is: center=... in detector columns "
            "(command line: --center VALUE)."
        )


def _distrusted(center: float, uncertainty: float, why: str) -> CenterEstimate:
    warnings.warn(
        f"the centre of rotation was not found with certainty: {why}; column {center:.2f} is the best guess. "
        "Look at the image, and give center=... (command line: --center VALUE) if it shows arcs.",
        InvgenWarning,
        stacklevel=3,
    )
    return CenterEstimate(center, uncertainty)
