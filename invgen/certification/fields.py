"""Stationary Gaussian fields as large as images, through the operators that images are measured by."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from invgen.certification.setting import Case, Setting
from invgen.certification.stationary import known_field
from invgen.certification.view import DenoiserView
from invgen.core.errors import ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import MRI, Blur, LinearOperator, Mask, Radon, Space
from invgen.operators.imaging.kernels import gaussian_kernel
from invgen.operators.imaging.masks import random_pixels
from invgen.operators.mri.poisson import poisson_disc
from invgen.priors import Gaussian
from invgen.priors.densities.covariances import Stationary

__all__ = ["FIELDS", "FIELD_CASES", "field_setting", "stationary_prior"]

#: Pixels along a side.
SIDE = 128

#: Standard deviation of the noise over that of what is measured.
_NOISE = 0.1

#: Draws of the prior by which the latter is found.
_DRAWS = 16


def stationary_prior(shape: tuple[int, int], length: float = 8.0, field: str = "real") -> Gaussian:
    """A periodic Gaussian field of mean one and variance one, whose correlation falls exponentially.

    Its spectrum is that of ``exp(-distance / length)`` in the plane, ``(1 + (length k)^2)^(-3/2)`` with the
    wave number k in radians per pixel: amplitudes that fall off as those of natural images do, or a little
    faster.

    Parameters
    ----------
    shape : (int, int)
    length : positive number
        Correlation length, in pixels.
    field : {"real", "complex"}
        Of complex images real and imaginary part each have variance one.
    """
    k = torch.meshgrid(
        *(2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in shape), indexing="ij"
    )
    spectrum = (1 + length**2 * (k[0].square() + k[1].square())) ** -1.5
    mean = torch.ones(shape, dtype=torch.complex64 if field == "complex" else torch.float32)
    return Gaussian(mean, Stationary(spectrum / spectrum.mean(), Space(shape, field)))


def _ct(shape: tuple[int, int], seed: int) -> LinearOperator:
    return Radon(shape, max(4, 16 * shape[0] // SIDE))


def _mri(shape: tuple[int, int], seed: int) -> LinearOperator:
    return MRI(shape, poisson_disc(shape, 8.0, seed=seed))


def _coils(shape: tuple[int, int], seed: int) -> LinearOperator:
    return MRI(shape, poisson_disc(shape, 20.0, seed=seed), _coil_maps(shape, 4))


def _coil_maps(shape: tuple[int, int], count: int) -> torch.Tensor:
    """Sensitivities that fall off from places around the image, with a phase; their squares sum to one."""
    rows, columns = torch.meshgrid(
        *(torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape), indexing="ij"
    )
    maps = []
    for c in range(count):
        angle = 2 * math.pi * c / count
        place = math.cos(angle), math.sin(angle)
        square = (rows - place[0]).square() + (columns - place[1]).square()
        maps.append(torch.polar(torch.exp(-square / 2), angle + place[0] * columns - place[1] * rows))
    stacked = torch.stack(maps)
    return stacked / stacked.abs().square().sum(0).sqrt()


def _blur(shape: tuple[int, int], seed: int) -> LinearOperator:
    return Blur(shape, gaussian_kernel(2.0))


def _mask(shape: tuple[int, int], seed: int) -> LinearOperator:
    return Mask(random_pixels(shape, 0.2, seed))


#: What each problem is in a line, and its operator of an image's shape and a seed, by the problem's name.
FIELDS: dict[str, tuple[str, Callable[[tuple[int, int], int], LinearOperator]]] = {
    "field-ct": ("Gaussian fields of 128 x 128 pixels, 16 projections", _ct),
    "field-mri": ("complex Gaussian fields of 128 x 128 pixels, an eighth of k-space", _mri),
    "field-coils": ("complex Gaussian fields of 128 x 128 pixels, 4 coils, a 20th of k-space", _coils),
    "field-blur": ("Gaussian fields of 128 x 128 pixels, blurred by 2 pixels", _blur),
    "field-mask": ("Gaussian fields of 128 x 128 pixels, a fifth of which are seen", _mask),
}


def field_setting(name: str, seed: int = 0, shape: tuple[int, int] = (SIDE, SIDE)) -> Setting:
    """Prior, operator and noise of one of `FIELDS`, the noise a tenth of what is measured.

    >>> setting = field_setting("field-blur", shape=(32, 32))
    >>> posterior = field_posterior(setting)               # mean(y), std, sample(y, n, seed)

    Raises
    ------
    ParameterError
        Where there is no problem of that name.
    """
    if name not in FIELDS:
        raise ParameterError(f"There is no field {name!r}; there are {', '.join(FIELDS)}.")
    operator = FIELDS[name][1](shape, seed)
    prior = stationary_prior(shape, field=operator.domain.field)
    observed = operator(prior.sample(_DRAWS, seed) - prior.mean())
    measured = int((observed[0] != 0).sum()) * (2 if observed.is_complex() else 1)
    square = float(observed.abs().double().square().sum()) / _DRAWS / measured
    return Setting(prior, operator, Noise(_NOISE * math.sqrt(square)))


#: The problems, at full size.
FIELD_CASES = tuple(
    Case(name, about, partial(field_setting, name), 1.0, DenoiserView, known_field)
    for name, (about, _) in FIELDS.items()
)
