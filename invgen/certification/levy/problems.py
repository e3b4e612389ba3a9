"""Signals of independent increments, measured as in the statistical benchmark of diffusion samplers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from invgen.certification.levy.chain import sampled, smoothed
from invgen.certification.levy.gibbs import Gibbs
from invgen.certification.levy.increments import BernoulliLaplace, GaussianJumps, Increments, Laplace, Student
from invgen.certification.levy.process import LevyProcess
from invgen.certification.setting import Case, Known, Setting
from invgen.certification.view import DenoiserView
from invgen.core.errors import ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import Blur, Identity, LinearOperator, Mask, MatrixOperator
from invgen.operators.imaging.kernels import gaussian_kernel
from invgen.operators.imaging.masks import random_pixels

__all__ = ["SIGNALS", "SIGNAL_CASES", "levy_posterior", "levy_setting"]

#: Values of a signal, and signal over noise: 25 dB in power.
_LENGTH, _SNR = 64, 10**2.5

#: Chains and sweeps of the Gibbs sampler for the moments, and sweeps until a chain forgets where it began.
_CHAINS, _SWEEPS, _FORGETS = 32, 300, 150

#: Divides the spacing of the denoiser's grid, for the posterior.
_REFINE = 2

_INCREMENTS: dict[str, tuple[str, Increments]] = {
    "gaussian": ("Gaussian", GaussianJumps()),
    "laplace": ("Laplace", Laplace()),
    "student": ("Student's t", Student()),
    "bernoulli-laplace": ("few, Laplace", BernoulliLaplace()),
}


def _fourier(n: int, seed: int) -> LinearOperator:
    """The five lowest frequencies and half of the others, as real and imaginary parts: orthonormal rows."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.zeros(n // 2 + 1, dtype=torch.bool)
    kept[:5] = True
    kept[5 + torch.randperm(n // 2 - 4, generator=generator)[: (n // 2 - 4) // 2]] = True
    spectrum = torch.fft.rfft(torch.eye(n, dtype=torch.float64), norm="ortho").mT  # (n // 2 + 1, n)
    twice = [k for k in range(1, (n + 1) // 2) if kept[k]]  # each stands for its conjugate too
    once = [k for k in (0, n // 2) if kept[k] and (k == 0 or n % 2 == 0)]
    rows = [spectrum[once].real, math.sqrt(2) * spectrum[twice].real, math.sqrt(2) * spectrum[twice].imag]
    return MatrixOperator(torch.cat(rows))


_OPERATORS: dict[str, tuple[str, Callable[[int, int], LinearOperator]]] = {
    "denoising": ("all values with noise", lambda n, seed: Identity((n,))),
    "deconvolution": (
        "blurred by 2 values",
        lambda n, seed: Blur((n,), gaussian_kernel(2.0, ndim=1, truncate=3.0)),
    ),
    "inpainting": ("half of the values", lambda n, seed: Mask(random_pixels((n,), 0.5, seed))),
    "fourier": ("half of the frequencies", _fourier),
}

#: What each problem is in a line, and its increments and operator, by the problem's name.
SIGNALS: dict[str, tuple[str, Increments, Callable[[int, int], LinearOperator]]] = {
    f"levy-{jumps}-{way}": (f"signals of 64 values, increments {kind}; {about}", increments, operator)
    for jumps, (kind, increments) in _INCREMENTS.items()
    for way, (about, operator) in _OPERATORS.items()
}


def levy_setting(name: str, seed: int = 0, length: int = _LENGTH) -> Setting:
    """Prior, operator and noise of one of `SIGNALS`, after Zach et al. (2026).

    "A statistical benchmark for diffusion posterior sampling algorithms": increments and operators are theirs
    (of the degrees of freedom of Student's t those that have a variance), the noise is 25 dB below the power
    of what is measured, on average over the signals.

    Raises
    ------
    ParameterError
        Where there is no problem of that name.
    """
    if name not in SIGNALS:
        raise ParameterError(f"There are no signals {name!r}; there are {', '.join(SIGNALS)}.")
    _, increments, make = SIGNALS[name]
    prior, operator = LevyProcess(increments, length), make(length, seed)
    A = _matrix(operator)
    power = float((A @ prior.covariance() * A).sum()) / int((A != 0).any(1).sum())
    return Setting(prior, operator, Noise(math.sqrt(power / _SNR)))


def levy_posterior(setting: Setting) -> Callable[[Tensor], Known]:
    """The function from a measurement to its posterior.

    Where values are seen one by one, by sums over a grid; else by Gibbs samplers, of which the mean has an
    error of about a hundredth of the deviation, and the variance of a value of 2 to 3 percent, of signals
    that are constant in pieces 4 to 12.
    """
    prior, operator, noise = setting
    assert isinstance(prior, LevyProcess)
    assert noise.std is not None
    increments, std = prior.increments, float(noise.std.value)
    if isinstance(operator, Identity | Mask):
        return partial(_on_grid, increments, std, operator.observed)
    A = _matrix(operator)
    gibbs = Gibbs(increments, A, std)

    def given(y: Tensor) -> Known:
        mean, deviation = gibbs.moments(y.double(), _CHAINS, seed=0, sweeps=_SWEEPS)
        return Known(mean, deviation, lambda n, seed: gibbs.sample(y.double(), n, seed, _FORGETS))

    return given


def _on_grid(increments: Increments, std: float, observed: Tensor | None, y: Tensor) -> Known:
    y = y.double()
    mean, variance = smoothed(y[None], std, increments, refine=_REFINE, observed=observed)
    draw = partial(sampled, y, std, increments, refine=_REFINE, observed=observed)
    return Known(mean[0], variance[0].sqrt(), draw)


def _matrix(operator: LinearOperator) -> Tensor:
    return operator(torch.eye(operator.domain.size, dtype=torch.float64)).flatten(1).mT


#: The problems at full length.
SIGNAL_CASES = tuple(
    Case(
        name,
        about,
        partial(levy_setting, name),
        math.sqrt(increments.variance * (_LENGTH + 1) / 2),
        DenoiserView,
        levy_posterior,
    )
    for name, (about, increments, _) in SIGNALS.items()
)
