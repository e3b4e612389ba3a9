"""Exact posteriors of stationary Gaussian fields, of images too large for matrices of all their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial

import torch

from invgen.certification.setting import Known, Setting
from invgen.core.errors import CapabilityError
from invgen.core.frozen import Frozen
from invgen.noise import Gaussian as Noise
from invgen.operators import LinearOperator, Space
from invgen.priors.densities.covariances import Stationary

__all__ = ["FieldPosterior", "field_posterior", "known_field"]

#: Measurements whose matrix fits into memory and seconds.
_MEASURED = 5000

#: Images that the operator is applied to at a time.
_BLOCK = 128

#: Rounding of a convolution, relative to its result.
_ROUNDING = 1e-9


def field_posterior(setting: Setting) -> FieldPosterior:
    """The posterior of a Gaussian prior with a stationary covariance, under white Gaussian noise.

    By a division in Fourier space where ``A.H A`` is a convolution of the periodic image, as for circular
    blur and for one uniform coil; else by the Cholesky factor of a matrix of all measurements.

    Parameters
    ----------
    setting : Setting
        A `Gaussian` prior with a `Stationary` covariance, a linear operator, and one standard deviation.

    Raises
    ------
    CapabilityError
        For other priors and noise, and for more than 5000 measurements where there is no convolution.
    """
    prior, operator, noise = setting
    if not (isinstance(prior.covariances, Stationary) and prior.covariances.count == 1):
        raise CapabilityError("field_posterior needs a Gaussian prior with a Stationary covariance.")
    if not isinstance(noise, Noise) or noise.std is None or noise.std.value.numel() != 1:
        raise CapabilityError("field_posterior needs white Gaussian noise: one standard deviation.")
    symbol = _convolution(operator)
    return _ByMeasurements(setting) if symbol is None else _ByFrequencies(setting, symbol)


def known_field(setting: Setting) -> Callable[[torch.Tensor], Known]:
    """The posterior of each measurement of a field."""
    posterior = field_posterior(setting)

    def given(y: torch.Tensor) -> Known:
        return Known(posterior.mean(y), posterior.std, partial(posterior.sample, y))

    return given


class FieldPosterior(Frozen):
    """Mean, standard deviation of each pixel, and samples of a posterior, in double precision.

    With the covariance C of the prior, of mean m, and the variance v of the noise the mean is
    ``m + G (y - A m)`` with the gain ``G = C A.H (A C A.H + v)^-1``. The covariance, ``C - G A C``, is
    the same for all measurements. For complex images standard deviations are those of each part.
    """

    def __init__(self, setting: Setting) -> None:
        self.prior, self.operator, self.noise = setting
        assert self.noise.std is not None, "as checked"
        self._variance = float(self.noise.std.value) ** 2

    def mean(self, y: torch.Tensor) -> torch.Tensor:
        """Mean of the posterior of measurements ``(*batch, *range)``: ``(*batch, *shape)``."""
        y = y.to(torch.promote_types(y.dtype, torch.float64))
        prior = self.prior.mean().to(torch.promote_types(self.prior.means.dtype, torch.float64))
        return prior + self._gain(y - self.operator(prior))

    @property
    def std(self) -> torch.Tensor:
        """Standard deviation of each pixel, shape (*shape)."""
        raise NotImplementedError

    def sample(self, y: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        """Independent samples ``(n, *batch, *shape)`` by Matheron's rule.

        A draw of the prior and a measurement of it with its own noise are known together, and
        ``x + G (y - y_x)`` is of the posterior.
        """
        y = y.to(torch.promote_types(y.dtype, torch.float64))
        space = self.operator.domain
        batch = y.shape[: y.ndim - len(self.operator.range.shape)]
        first, second = (int(i) for i in torch.randint(2**31, (2,), generator=_generator(seed)))
        count = n * batch.numel()
        x = self.prior.sample(count, first).reshape(n, *batch, *space.shape)
        x = x.to(torch.promote_types(x.dtype, torch.float64))
        return x + self._gain(y - self.noise.sample(self.operator(x), second))

    def _gain(self, r: torch.Tensor) -> torch.Tensor:
        """``G r``."""
        raise NotImplementedError

    def _prior_covariance(self, x: torch.Tensor) -> torch.Tensor:
        """``C x`` of images ``(n, *shape)``."""
        return self.prior.covariances.apply(x[:, None])[:, 0]


class _ByFrequencies(FieldPosterior):
    """Where ``A.H A`` is diagonal in Fourier space as C is: with the symbols g and S, ``v S / (v + S g)``."""

    def __init__(self, setting: Setting, symbol: torch.Tensor) -> None:
        super().__init__(setting)
        spectrum, v = self.prior.covariances.eigenvalues.value[0], self._variance
        self._spectrum = v * spectrum / (v + spectrum * symbol)

    @property
    def std(self) -> torch.Tensor:
        """The same for all pixels."""
        return self._spectrum.mean().sqrt().expand(self.operator.domain.shape)

    def _gain(self, r):
        """``P A.H r / v``, P being the covariance of the posterior."""
        space = self.operator.domain
        return space.filter(space.half(self._spectrum), self.operator.H(r)) / self._variance


class _ByMeasurements(FieldPosterior):
    """By the Cholesky factor L of ``A C A.H + v`` on what A measures at all."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        seen = self.operator(self.operator.domain.random(seed=0, dtype=torch.float64)).flatten() != 0
        if int(seen.sum()) > _MEASURED:
            raise CapabilityError(
                f"The exact posterior of a field takes a matrix of all measurements, here {int(seen.sum())}, "
                f"at most {_MEASURED}: measure fewer, or by an operator whose gram is a circular convolution."
            )
        self._seen = seen.nonzero()[:, 0]
        matrix = torch.cat([self.operator(self._spread(e)).flatten(1)[:, seen] for e in self._units()])
        # row i is A C A.H e_i, column i of the matrix
        matrix = (matrix.mT + matrix.conj()) / 2
        matrix.diagonal().add_(self._variance)
        self._factor = torch.linalg.cholesky(matrix)

    @cached_property
    def std(self) -> torch.Tensor:
        """``C_jj - |L^-1 A C e_j|^2``, by the rows of L^-1: as many images as there are measurements."""
        n = self.operator.domain.size
        units = torch.eye(len(self._seen), dtype=self._factor.dtype)
        rows = torch.linalg.solve_triangular(self._factor, units, upper=False).conj()
        variance = self.prior.covariances.traces()[0] / n
        for block in rows.split(_BLOCK):
            variance = variance - self._spread(block).abs().square().sum(0)
        return variance.sqrt()

    def _gain(self, r):
        """``C A.H L^-H L^-1 r``."""
        space = self.operator.range
        batch = r.shape[: r.ndim - len(space.shape)]
        rows = r.reshape(-1, space.size)[:, self._seen]
        rows = torch.cholesky_solve(rows.mT, self._factor).mT
        images = torch.cat([self._spread(block) for block in rows.split(_BLOCK)])
        return images.reshape(*batch, *self.operator.domain.shape)

    def _units(self) -> Iterable[torch.Tensor]:
        return torch.eye(len(self._seen), dtype=_dtype(self.operator.range)).split(_BLOCK)

    def _spread(self, rows: torch.Tensor) -> torch.Tensor:
        """``C A.H`` of measurements that are given where A measures: rows to images."""
        y = rows.new_zeros(len(rows), self.operator.range.size)
        y[:, self._seen] = rows
        return self._prior_covariance(self.operator.H(y.reshape(-1, *self.operator.range.shape)))


def _convolution(operator: LinearOperator) -> torch.Tensor | None:
    """Eigenvalues of ``A.H A`` in Fourier space, where it is a circular convolution; else None."""
    space = operator.domain
    impulse = torch.zeros(space.shape, dtype=_dtype(space))
    impulse.view(-1)[0] = 1
    symbol = torch.fft.fftn(operator.gram(impulse))
    image = space.random(seed=0, dtype=torch.float64)
    expected = operator.gram(image)
    filtered = torch.fft.ifftn(symbol * torch.fft.fftn(image))
    close = (filtered - expected).abs().max() <= _ROUNDING * expected.abs().max()
    return symbol.real.clamp(min=0) if bool(close) else None


def _dtype(space: Space) -> torch.dtype:
    return torch.complex128 if space.field == "complex" else torch.float64


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
