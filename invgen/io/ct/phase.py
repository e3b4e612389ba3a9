"""Phase retrieval: line integrals of a homogeneous object whose edges are enhanced by propagation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from invgen.core.errors import DataError, ParameterError
from invgen.io.ct.flatfield import MinusLog
from invgen.io.ct.projections import Projections, interpolated, require
from invgen.io.units import converted

__all__ = ["Cosines", "Paganin"]

#: Wavelength in meters times energy in keV.
_KEV_METERS = 1.239841984e-9
#: Rows to either side that are filtered: this many decay lengths of the kernel, and at least so many rows.
_DECAYS, _LEAST = 7.0, 8


@dataclass(frozen=True)
class Cosines:
    """The transmission of a row as cosines along the columns, which are mirrored at the detector's edges.

    Attributes
    ----------
    data : tensor, shape (views, columns)
    index : tensor, shape (views,)
        Which views these are, increasing.
    """

    data: torch.Tensor
    index: torch.Tensor

    @classmethod
    def of(cls, projections: Projections) -> Cosines:
        """Those of line integrals."""
        require(projections, "Paganin", "absorption")
        assert projections.index is not None, "views are numbered"
        return cls(_cosines((-projections.data).exp()), projections.index)

    def in_views_of(self, other: Cosines) -> torch.Tensor:
        """Data in the views of another row; those of the other in views that are missing here."""
        if torch.equal(self.index, other.index):
            return self.data
        place = torch.searchsorted(self.index, other.index).clamp(max=len(self.index) - 1)
        return torch.where((self.index[place] == other.index)[:, None], self.data[place], other.data)


@dataclass(frozen=True)
class Paganin:
    """Retrieve the phase of single-distance images, Paganin et al. (2002), eq. 12.

    doi:10.1046/j.1365-2818.2002.01010.x. Behind a homogeneous object whose thickness along the rays is t, the
    transport of intensity over a distance z makes of ``exp(-mu t)`` the transmission T, and

        ``mu t = -log F^-1[F[T] / (1 + alpha |k|^2)]``, with ``alpha = z lambda (delta / beta) / (4 pi)``,

    k being in radians per length; of a point source, z is divided by the magnification. The filter is
    two-dimensional: it takes the rows within seven decay lengths ``sqrt(alpha)``, mirrored at the edges of
    the detector as the columns are; the row of a scan that has one is filtered along it.

    The noise is propagated as if that of neighboring rows were the row's own. It is less than before, and
    correlated over ``sqrt(alpha)``, of which `std` knows nothing.

    Parameters
    ----------
    delta_beta : float
        Of the object's refractive index ``1 - delta + i beta``, at the energy.
    distance : float
        From the object to the detector, in m.
    energy : float
        Of the photons, in keV.
    """

    delta_beta: float
    distance: float
    energy: float

    def __post_init__(self) -> None:
        for name in ("delta_beta", "distance", "energy"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ParameterError(f"Paganin expects a positive {name}; got {value!r}.")

    def alpha(self, unit: str, magnification: float = 1.0) -> float:
        """The filter's alpha, in the square of a unit of length.

        Raises
        ------
        DataError
            When the unit is no length.
        """
        meter = converted((1.0, "m"), unit)
        if meter is None:
            raise DataError(
                f"phase retrieval needs the pixel size as a length; the scan has the unit {unit!r}. "
                "Put the pixel size into the file, with its unit."
            )
        wavelength = _KEV_METERS / self.energy
        distance = self.distance / magnification
        return distance * wavelength * self.delta_beta / (4 * math.pi) * meter**2

    def rows(self, alpha: float, row_size: float, rows: int) -> int:
        """Number of rows, mirrored ones among them, that the filter takes; all of a detector of few."""
        return min(2 * max(_LEAST, math.ceil(_DECAYS * math.sqrt(alpha) / row_size)) + 1, 2 * rows)

    def __call__(
        self,
        own: Projections,
        row: int,
        rows: int,
        read: Callable[[int], Cosines],
        alpha: float,
        row_size: float,
    ) -> Projections:
        """Filter a row.

        Parameters
        ----------
        own : Projections
            Line integrals of the row, before the phase is retrieved.
        row, rows : int
            Which row it is, of how many.
        read : callable(row)
            The cosines of another row, of which views may be missing: those are taken from this one.
        alpha : float
            In the square of the scan's unit; see `alpha`.
        row_size : float
            Distance of the rows, at the rotation axis.
        """
        here = Cosines.of(own)
        kernel = _kernel(own.columns, own.spacing, self.rows(alpha, row_size, rows), row_size, alpha)
        members = _reflected(torch.arange(len(kernel)) - len(kernel) // 2 + row, rows)
        filtered = torch.zeros_like(own.data)
        for member in members.unique().tolist():
            near = here.data if member == row else read(member).in_views_of(here)
            filtered.addcmul_(near, kernel[members == member].sum(0)[: own.columns])
        out = replace(
            own,
            data=_from_cosines(filtered),
            std=None if own.std is None else self._noise(own, kernel),
            quantity="transmission",
            quanta=None,
        ).reported(
            f"retrieved the phase, of delta / beta {self.delta_beta:g} at {self.distance:g} m and "
            f"{self.energy:g} keV: a filter of {len(members.unique())} rows that decays over "
            f"{math.sqrt(alpha) / own.spacing:.3g} columns"
        )
        return MinusLog()(out)

    @staticmethod
    def _noise(own: Projections, kernel: torch.Tensor) -> torch.Tensor:
        """Standard deviation of the filtered transmission; dead rays stay dead."""
        assert own.std is not None, "it is known"
        dead = own.std.isinf()
        std = interpolated(own.std.masked_fill(dead, 0), dead) * (-own.data).exp()
        squares = torch.fft.irfft(kernel, n=2 * own.columns).square().sum(0)
        gain = torch.fft.rfft(squares).real[: own.columns]
        variance = _from_cosines(_cosines(std.square()) * gain)
        return variance.clamp(min=0).sqrt().masked_fill(dead, math.inf)


def _kernel(columns: int, spacing: float, rows: int, row_size: float, alpha: float) -> torch.Tensor:
    """The filter by row, from ``-rows // 2`` on, and by frequency along mirrored columns; float32.

    Its sum over rows is ``1 / (1 + alpha k^2)`` of the columns alone: what is constant stays so.
    """
    along = 2 * math.pi * torch.fft.rfftfreq(2 * columns, spacing, dtype=torch.float64)
    across = 2 * math.pi * torch.fft.fftfreq(rows, row_size, dtype=torch.float64)
    gain = 1 / (1 + alpha * (along.square() + across[:, None].square()))
    return torch.fft.fftshift(torch.fft.ifft(gain, dim=0).real, dim=0).float()


def _cosines(data: torch.Tensor) -> torch.Tensor:
    """Discrete cosine transform along the columns, from the Fourier transform of the mirrored ones."""
    return (torch.fft.rfft(torch.cat([data, data.flip(1)], 1))[:, :-1] * _shift(data.shape[1]).conj()).real


def _from_cosines(data: torch.Tensor) -> torch.Tensor:
    """Undo `_cosines`."""
    columns = data.shape[1]
    return torch.fft.irfft(data * _shift(columns), n=2 * columns)[:, :columns]


def _shift(columns: int) -> torch.Tensor:
    """Phase of half a column, which makes the transform of mirrored columns real."""
    return torch.polar(torch.ones(columns), math.pi / (2 * columns) * torch.arange(columns))


def _reflected(index: torch.Tensor, length: int) -> torch.Tensor:
    """Indices that are mirrored at both ends, the ends repeated."""
    index = index % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)
