"""The detector's offset of parallel beams: the fit of a sinogram and its mirror image by the double wedge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from invgen.operators.tomography.calibration.agreement import Estimate, agreed, settled

__all__ = ["WedgeFit", "fit_parallel", "missing", "without_pedestal"]

_MAX_HARMONIC = 360  # more would cost time and add nothing: the object is in the low frequencies
_SEARCH = 0.4  # of the detector, to either side
_FINE = 0.01  # columns
_BAND = 8  # frequencies of one noise level: of a single one, chance can make a perfect fit
_COUNTED = 4  # each sample is counted twice by mirroring and twice by padding
_TRUSTED = 10.0  # log-likelihood by which the best place must beat any other


@dataclass(frozen=True)
class WedgeFit:
    """Where the axis projects, in columns from the detector's middle, its standard error, and any doubt.

    Its `residual` is the rms of what no object explains, over that of the data.
    """

    center: float
    uncertainty: float
    residual: float
    doubt: str | None


def missing(angles: torch.Tensor) -> float:
    """Angle, of the half turn that parallel beams need, that the views leave out."""
    directions = (angles % math.pi).sort().values
    gaps = torch.cat([directions, directions[:1] + math.pi]).diff()
    return float(gaps.max() - gaps.median())


def fit_parallel(data: torch.Tensor, angles: torch.Tensor) -> WedgeFit:
    """Find where the rotation axis projects by maximum likelihood, to a fraction of a column.

    Seen from behind, a projection is mirrored: with the axis at column c the line integrals obey
    ``p(t + pi, c + s) = p(t, c - s)``, so that views over 180 degrees give a sinogram over 360. The Fourier
    transform of a sinogram of an object of radius R is confined to the double wedge ``|k| <= R |w|`` of
    angular harmonics k and detector frequencies w (Edholm, Lewitt and Lindholm 1986), and a wrong center puts
    a seam into it whose spectrum lies outside: Vo et al. (2014), doi:10.1364/OE.22.019078, search the center
    with the least energy there. Here that is done as a fit. At each frequency the harmonics inside of the
    wedge are fitted to the mirrored sinogram by least squares, for any spacing of the angles; the residual is
    a quadratic form of ``exp(i w c)``, known in closed form for every c, and with an unknown noise level of
    each frequency the log-likelihood is the sum of the logarithms of the residuals. This weighting limits the
    influence of beam hardening and drifts, which are at the lowest frequencies.
    Views over 360 degrees need no special case: the fit then compares views with their opposites.

    What stands still on the detector may be an unknown of the fit, see `settled`. Every other band of
    frequencies, and those between them, give two independent estimates: where these differ by more than
    chance, the standard error is at least half of their difference.

    Parameters
    ----------
    data : tensor, float64 (views, columns)
    angles : tensor, float64 (views,)
        Radians, over 180 degrees or more.
    """
    precise, robust = (_fitted(_residual(data, angles, still), data.shape[1]) for still in (False, True))
    return settled(precise, robust)


def _fitted(residual: _Residual, n: int) -> WedgeFit:
    """The best place by a residual, on a detector of n columns."""
    if not len(residual.freedom) or not residual.constant.max() > 0:
        return WedgeFit(0.0, math.inf, 0.0, "the projections have no structure to find it from")

    middle = (n - 1) / 2
    first, last = (0.5 - _SEARCH) * n - middle, (0.5 + _SEARCH) * n - middle
    coarse = torch.arange(first, last, 0.25, dtype=torch.float64)
    levels = residual.levels(coarse)
    weights = residual.weights(levels)
    values = weights @ levels.log()
    best = float(coarse[values.argmin()])
    fine = best + _FINE * torch.arange(-50, 51, dtype=torch.float64)
    levels = residual.levels(fine)
    bands = weights[:, None] * levels.log()
    likelihood = bands.sum(0)
    unexplained = math.sqrt(float(levels[:, likelihood.argmin()].sum() / residual.total.sum()))
    whole = _vertex(fine, likelihood)
    if math.isinf(whole.error):
        return WedgeFit(best, math.inf, unexplained, "the likelihood has no clear maximum")
    uncertainty = agreed(whole.error, *(_vertex(fine, bands[side::2].sum(0)) for side in (0, 1)))
    elsewhere = values[(coarse - best).abs() > 3]
    doubt = None
    if uncertainty > 0.5 or (len(elsewhere) and elsewhere.min() - likelihood.min() < _TRUSTED):
        doubt = "another place fits nearly as well"
    return WedgeFit(whole.place, uncertainty, unexplained, doubt)


def _vertex(places: torch.Tensor, values: torch.Tensor) -> Estimate:
    """Where minus a log-likelihood is least, and the standard error of that by its curvature."""
    i = int(values.argmin().clamp(1, len(places) - 2))
    left, least, right = values[i - 1 : i + 2].tolist()
    step = float(places[1] - places[0])
    curvature = (left - 2 * least + right) / step**2
    if not curvature > 0:
        return Estimate(float(places[i]), math.inf)
    return Estimate(float(places[i]) + (left - right) / (2 * step * curvature), 1 / math.sqrt(curvature))


def without_pedestal(data: torch.Tensor) -> torch.Tensor:
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
        """Residuals of centers ``middle + offsets``, summed over each band: shape (bands, offsets)."""
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
        nothing but noise would fit well at some wrong center.
        """
        freedom, total = (
            torch.stack([part.sum() for part in x.split(_BAND)]) for x in (self.freedom, self.total)
        )
        fitted = 2 * self.views * torch.tensor([len(part) for part in self.total.split(_BAND)]) - freedom
        noise = levels.min(1).values / freedom
        power = (total - levels.min(1).values) / fitted
        return freedom / _COUNTED * (1 - noise / power).clamp(min=0)


def _residual(data: torch.Tensor, angles: torch.Tensor, still: bool) -> _Residual:
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
    one = torch.ones(views, 1, dtype=torch.float64)
    # what stands still is constant, and mirrored where the views are: the constant harmonic has its even part
    constant = [torch.cat([one, one]), torch.cat([one, -one])][: 2 if still else 1]
    basis, triangle = torch.linalg.qr(torch.cat([*constant, waves], 1))
    # harmonics that equal lower ones at these angles add nothing; after the first, none does
    new = triangle.diagonal().abs() > 1e-6 * math.sqrt(2 * views)
    basis = basis * new
    complete = not new[-2:].any()

    order = (2 * highest + len(constant) - 1).clamp(max=len(new) - 1)
    freedom = 2 * views - new.cumsum(0)[order]
    # a fit with few residual degrees of freedom fits noise at any center
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
