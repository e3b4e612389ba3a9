"""Steps that remove the stripes of a sinogram, which are rings in the image: a filter for each kind of them.

The algorithms are those of Vo, Atwood and Drakopoulos (2018), doi:10.1364/OE.26.028396, numbered as there.
Where they divide the transmission of a column by a factor, here the factor's logarithm is subtracted from its
line integrals: air, whose line integrals are zero, needs no care, and nothing depends on the unit of length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import pad

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.io.ct.defects import MAX_DEAD, median_filter, mirrored
from invgen.io.ct.projections import Projections, Step, require

__all__ = [
    "STRIPE_FILTERS",
    "DeadStripes",
    "LargeStripes",
    "StripeFiltering",
    "StripeFitting",
    "StripeSorting",
]

#: Views of the running mean of alg. 6: the authors' ten, made odd.
_VIEWS = 11
#: Smallest width of a distribution, relative to its largest value, that is not rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Equalizer(ABC):
    """What filters that only change values share: the noise is taken as unchanged, and counts are lost."""

    def __call__(self, projections: Projections) -> Projections:
        """Remove the stripes of line integrals."""
        require(projections, type(self).__name__, "absorption")
        data, what = self._equalized(projections.data)
        change = (data - projections.data).square().mean().sqrt()
        return replace(projections, data=data, quanta=None).reported(
            f"removed stripes {what}: an rms change of {change:.3g}"
        )

    @abstractmethod
    def _equalized(self, sinogram: torch.Tensor) -> tuple[torch.Tensor, str]:
        """The sinogram with columns that agree, shape (views, columns), and how that was done."""


@dataclass(frozen=True)
class StripeSorting(_Equalizer):
    """Remove full and partial stripes by sorting, alg. 3.

    Each column is sorted by value, a median filter along the detector smooths the sorted columns, and the
    values return to their places. A pixel with a different response has all its sorted values shifted: a
    line, which the filter removes whatever the object is.

    Fine structure is smoothed as well, so that this is no default step: on the measured tooth scan of the
    tests, whose stripes are as strong as its noise, total variation from every fourth view predicts the
    others to 0.0167 with it and to 0.0168 without. Use it where rings are seen.

    Parameters
    ----------
    size : int or None
        Width of the median filter, odd, and more than twice that of a stripe; None takes 1 % of the columns,
        between 5 and 21 (the authors' rule).
    """

    size: int | None = None

    def __post_init__(self) -> None:
        _check_size(self)

    def _equalized(self, sinogram: torch.Tensor) -> tuple[torch.Tensor, str]:
        size = self.size or _small(sinogram)
        return _smoothed_by_value(sinogram, size), f"by sorting, median filter of {size} columns"


@dataclass(frozen=True)
class StripeFiltering(_Equalizer):
    """Remove full and partial stripes of low frequency by sorting, algs. 2 and 3.

    The waves along the views that are longer than about ``1 / sigma`` of the scan go through `StripeSorting`;
    the rest, the fine structure of the object, stays as it is.

    Parameters
    ----------
    sigma : float
        Width of the Gaussian low-pass filter along the views, in cycles per scan.
    size : int or None
        As of `StripeSorting`.
    """

    sigma: float = 3.0
    size: int | None = None

    def __post_init__(self) -> None:
        _check_size(self)
        _check_positive(self, "sigma", self.sigma)

    def _equalized(self, sinogram: torch.Tensor) -> tuple[torch.Tensor, str]:
        size, low = self.size or _small(sinogram), _low_pass(sinogram, self.sigma, 0)
        return (
            sinogram + _smoothed_by_value(low, size) - low,
            f"by filtering, below {self.sigma:g} cycles per scan, median filter of {size} columns",
        )


@dataclass(frozen=True)
class StripeFitting(_Equalizer):
    """Remove full stripes, wide ones too, by fitting, alg. 1: for objects without sharp edges.

    A Savitzky-Golay filter as long as the scan fits a polynomial along each column, and the column is
    normalized by the ratio of the fit to the fit after a Gaussian low-pass filter. The object passes through
    only as far as its fit is smooth along the detector: edges of an object inside of the field of view make
    new rings.

    Parameters
    ----------
    order : int
        Of the polynomial.
    sigma : (float, float)
        Width of the low-pass filter in cycles per scan, along the views, and per detector, along the columns.
    """

    order: int = 3
    sigma: tuple[float, float] = (20.0, 5.0)

    def __post_init__(self) -> None:
        if not is_count(self.order, least=0):
            raise ParameterError(f"StripeFitting expects an order of 0 or more; got {self.order!r}.")
        for sigma in self.sigma:
            _check_positive(self, "sigma", sigma)

    def _equalized(self, sinogram: torch.Tensor) -> tuple[torch.Tensor, str]:
        if len(sinogram) <= self.order + 1:
            raise ParameterError(
                f"StripeFitting expects more than {self.order + 1} views for its order of {self.order}; "
                f"got {len(sinogram)}."
            )
        fit = _savitzky_golay(len(sinogram), self.order).to(sinogram) @ sinogram
        smooth = _low_pass(_low_pass(fit, self.sigma[0], 0), self.sigma[1], 1)
        return sinogram - fit + smooth, f"by fitting polynomials of order {self.order}"


@dataclass(frozen=True)
class LargeStripes(_Equalizer):
    """Remove large stripes, of pixels whose response is far off, and wide ones: alg. 5.

    The columns are sorted by value and smoothed along the detector. Each is normalized by its mean, sorted,
    over that of its smooth neighbors; where the two are so far apart that they are a stripe (alg. 4), the
    sorted values themselves are replaced by the smooth ones, which removes partial stripes too.

    Parameters
    ----------
    snr : float
        Least distance of a stripe from the other columns, in widths of their distribution.
    size : int or None
        Width of the median filter, odd, and more than twice that of a stripe; None takes 5 % of the columns,
        between 5 and 81 (the authors' width).
    drop : float
        Fraction of the largest and smallest values of a column that do not count in its mean.
    """

    snr: float = 3.0
    size: int | None = None
    drop: float = 0.1

    def __post_init__(self) -> None:
        _check_size(self)
        _check_positive(self, "snr", self.snr)
        if not 0 <= self.drop < 1:
            raise ParameterError(f"LargeStripes expects a fraction to drop, from 0 to 1; got {self.drop!r}.")

    def _equalized(self, sinogram: torch.Tensor) -> tuple[torch.Tensor, str]:
        size, cut = self.size or _large(sinogram), int(self.drop / 2 * len(sinogram))
        values, places = sinogram.sort(dim=0, stable=True)
        smooth = _median(values, size)
        kept = slice(cut, len(sinogram) - cut)
        offset = (values[kept] - smooth[kept]).mean(0)
        stripes = _next_to(_outliers(offset, self.snr))
        replaced = torch.empty_like(smooth).scatter_(0, places, smooth)
        return (
            torch.where(stripes, replaced, sinogram - offset),
            f"by normalizing all columns, and sorting {int(stripes.sum())} of large ones, median filter of "
            f"{size} columns",
        )


@dataclass(frozen=True)
class DeadStripes:
    """Mark columns that do not respond or fluctuate, and fill them from their neighbors: alg. 6.

    The deviation of each column from its running mean along the views is divided by that of its neighbors:
    columns whose ratio is far from the others' (alg. 4) are dead, and so are those next to them. Where noise
    is too low to compare, as in simulated air, this finds more than 5 % of the columns, and leaves them.

    Parameters
    ----------
    snr : float
        As of `LargeStripes`.
    size : int or None
        Width of the median filter that takes the neighbors' deviation; as of `LargeStripes`.
    """

    snr: float = 3.0
    size: int | None = None

    def __post_init__(self) -> None:
        _check_size(self)
        _check_positive(self, "snr", self.snr)

    def __call__(self, projections: Projections) -> Projections:
        """Mark and fill the columns."""
        require(projections, "DeadStripes", "absorption")
        data = projections.data
        running = data[mirrored(len(data), _VIEWS // 2)].mean(1)
        deviation = (data - running).abs().mean(0)
        around = median_filter(deviation[None], self.size or _large(data), 1)[0]
        found = _outliers(torch.where(around > 0, deviation / around, 1.0), self.snr)
        if found.double().mean() > MAX_DEAD:
            return projections.assumed(
                f"{int(found.sum())} of {len(found)} columns fluctuate more or less than their neighbors, "
                "too many for dead pixels: they are left as they are"
            )
        dead = _next_to(found)
        dead[:2] = dead[-2:] = False  # nothing to interpolate from
        if not dead.any():
            return projections
        return projections.with_dead(dead.expand_as(data)).reported(
            f"{int(found.sum())} columns that do not respond or fluctuate, and those next to them, were "
            "filled from their neighbors"
        )


def _smoothed_by_value(sinogram: torch.Tensor, size: int) -> torch.Tensor:
    """Sort each column, take the median over `size` neighbors, and put the values back in their places."""
    values, places = sinogram.sort(dim=0, stable=True)
    return torch.empty_like(values).scatter_(0, places, _median(values, size))


def _median(values: torch.Tensor, size: int) -> torch.Tensor:
    """Running median along the detector, its ends repeated: what falls towards them still does."""
    half = size // 2
    return median_filter(pad(values[None], (half, half), mode="replicate")[0], size, 1)[:, half:-half]


def _low_pass(x: torch.Tensor, sigma: float, axis: int) -> torch.Tensor:
    """Keep waves along an axis, mirrored at its ends: Gaussian of width `sigma`, in cycles per length."""
    length = x.shape[axis]
    waves = torch.fft.rfft(torch.cat([x, x.flip(axis)], axis), dim=axis)
    cycles = torch.arange(waves.shape[axis], dtype=x.dtype) / 2
    gain = (-(cycles / sigma).square() / 2).exp()
    waves = waves * (gain[:, None] if axis == 0 else gain)
    return torch.fft.irfft(waves, n=2 * length, dim=axis).narrow(axis, 0, length)


def _savitzky_golay(length: int, order: int) -> torch.Tensor:
    """Matrix of the filter of Savitzky and Golay (1964) as long as the data, mirrored; float64."""
    half = (length - 1) // 2
    place = torch.linspace(-1, 1, 2 * half + 1, dtype=torch.float64)
    # the value in the middle of the polynomial that fits best
    weights = torch.linalg.pinv(place[:, None] ** torch.arange(order + 1))[0]
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, mirrored(length, half), weights.expand(length, -1))


def _outliers(values: torch.Tensor, snr: float) -> torch.Tensor:
    """Which of the values are stripes, alg. 4.

    A line through the middle half of the sorted values gives the ends of their distribution, and its width
    there. Where the smallest or largest value is further than `snr` widths beyond its end, the values more
    than half as far are stripes.
    """
    count = len(values)
    ordered, rank = values.double().sort().values, torch.arange(count, dtype=torch.float64)
    middle = slice(count // 4, count - count // 4)
    x, y = rank[middle] - rank[middle].mean(), ordered[middle]
    slope = (x * y).sum() / x.square().sum().clamp(min=1)
    low = y.mean() - slope * rank[middle].mean()
    high = low + slope * (count - 1)
    width = (high - low).maximum(_ROUNDING * ordered.abs().max())
    above, below = values > high + snr / 2 * width, values < low - snr / 2 * width
    return (above & bool(ordered[-1] - high >= snr * width)) | (below & bool(low - ordered[0] >= snr * width))


def _next_to(columns: torch.Tensor) -> torch.Tensor:
    """These columns, and those next to them."""
    out = columns.clone()
    out[1:] |= columns[:-1]
    out[:-1] |= columns[1:]
    return out


def _small(sinogram: torch.Tensor) -> int:
    return min(21, max(5, sinogram.shape[1] // 100)) | 1


def _large(sinogram: torch.Tensor) -> int:
    return min(81, max(5, sinogram.shape[1] // 20)) | 1


def _check_size(step: StripeSorting | StripeFiltering | LargeStripes | DeadStripes) -> None:
    if step.size is not None and not (is_count(step.size, least=3) and step.size % 2):
        raise ParameterError(f"{type(step).__name__} expects an odd size of 3 or more; got {step.size!r}.")


def _check_positive(step: object, name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ParameterError(f"{type(step).__name__} expects a positive {name}; got {value!r}.")


STRIPE_FILTERS: dict[str, tuple[Step, ...]] = {
    "sorting": (StripeSorting(),),
    "fitting": (StripeFitting(),),
    "filtering": (StripeFiltering(),),
    "large": (LargeStripes(),),
    "dead": (DeadStripes(),),
    "all": (DeadStripes(), LargeStripes(), StripeSorting()),
}
"""Steps by the name of the filter; "all" is the authors' combination."""
