"""Problems whose posterior is known: Gaussians, the mixtures of the MCGdiff paper, and digits."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from invgen.certification.fields import FIELD_CASES
from invgen.certification.levy.problems import SIGNAL_CASES
from invgen.certification.setting import Case, Setting
from invgen.certification.view import DenoiserView, GeneratorView
from invgen.core.errors import FileError, ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import MRI, Downsample, LinearOperator, Mask, MatrixOperator, Radon
from invgen.priors import Gaussian, GaussianMixture, KernelDensity

__all__ = [
    "CASES",
    "DIGITS",
    "GAUSSIAN",
    "MIXTURES",
    "SMALL_NOISE",
    "VECTORS",
    "Case",
    "digits_of",
    "find_case",
]

#: What of the folder of data the digits are in.
DIGITS = "digits/mnist8k-images-idx3-ubyte.gz"

#: Standard deviation of the noise of Gaussian cases, over that of what is measured.
_NOISE = 0.3


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _vectors(d: int, measured: int, isotropic: bool) -> Callable[[int], Setting]:
    """Vectors measured by random numbers."""

    def setting(seed: int) -> Setting:
        g = _generator(seed)
        mean = torch.randn(d, generator=g)
        if isotropic:
            covariance = torch.eye(d)
        else:
            # variances between 0.1 and 1.9 along random directions: one on average
            Q = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64)).Q
            covariance = (Q * torch.linspace(0.1, 1.9, d, dtype=torch.float64)) @ Q.mT
        A = MatrixOperator(torch.randn(measured, d, generator=g) / math.sqrt(d))
        return _with_noise(Gaussian(mean, covariance), A)

    return setting


def _low_rank(shape: tuple[int, int], rank: int, measured: int) -> Callable[[int], Setting]:
    """Images that a linear map makes of a few numbers, measured by random numbers."""

    def setting(seed: int) -> Setting:
        g, d = _generator(seed), math.prod(shape)
        W = torch.randn(d, rank, generator=g, dtype=torch.float64)
        W = W * math.sqrt(d) / W.norm()
        mean = torch.randn(shape, generator=g)
        A = MatrixOperator(torch.randn(measured, d, generator=g) / math.sqrt(d), shape)
        return _with_noise(Gaussian(mean, W @ W.mT), A)

    return setting


def _images(
    shape: tuple[int, int], operator: Callable[[torch.Generator], LinearOperator], field: str = "real"
) -> Callable[[int], Setting]:
    """Images in which pixels two apart have the correlation 1/e."""

    def setting(seed: int) -> Setting:
        g = _generator(seed)
        rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
        places = torch.stack([rows.flatten(), columns.flatten()], 1)
        covariance = torch.exp(-torch.cdist(places, places) / 2)
        mean = torch.randn(shape, generator=g, dtype=torch.float32 if field == "real" else torch.complex64)
        return _with_noise(Gaussian(mean, covariance), operator(g))

    return setting


def _with_noise(prior: Gaussian, operator: LinearOperator) -> Setting:
    A = _explicit(operator)
    observed = torch.linalg.matrix_norm(A @ prior.covariances.roots()[0].to(A.dtype)).item()
    rows = int((A.abs().sum(1) > 0).sum())  # the others measure nothing
    return Setting(prior, operator, Noise(_NOISE * observed / math.sqrt(rows)))


def _explicit(operator: LinearOperator) -> torch.Tensor:
    """The matrix of an operator, in double precision."""
    space = operator.domain
    units = torch.eye(space.size, dtype=torch.complex128 if space.field == "complex" else torch.float64)
    return operator(units.reshape(-1, *space.shape)).flatten(1).mT


def _half(shape: tuple[int, int], g: torch.Generator) -> torch.Tensor:
    """A random half of the pixels."""
    mask = torch.zeros(math.prod(shape), dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=g)[: len(mask) // 2]] = True
    return mask.reshape(shape)


def _as_matrix(operator: LinearOperator) -> MatrixOperator:
    """The same as a matrix: transforms do images one by one, and there are tens of thousands."""
    return MatrixOperator(_explicit(operator), operator.domain.shape)


def _small_noise(d: int, level: float, mixture: bool) -> Callable[[int], Setting]:
    """Half as many measurements as dimensions, with noise of a small part of the prior's deviation."""

    def setting(seed: int) -> Setting:
        prior = (_mixture if mixture else partial(_vectors, isotropic=False))(d, 1)(seed).prior
        A = torch.randn(d // 2, d, generator=_generator(seed + 1)) / math.sqrt(d)
        return Setting(prior, MatrixOperator(A), Noise(level * (_MIXTURE_STD if mixture else 1.0)))

    return setting


def _mixture(d: int, measured: int) -> Callable[[int], Setting]:
    """The mixture of Cardoso et al. (2024), appendix B.3, with a random operator and noise."""

    def setting(seed: int) -> Setting:
        g = _generator(seed)
        grid = torch.arange(-2.0, 3.0)
        centers = -8 * torch.cartesian_prod(grid, grid)
        weights = torch.randn(25, generator=g).square()
        matrix = torch.randn(measured, d, generator=g)
        U, s, Vh = torch.linalg.svd(matrix, full_matrices=False)
        s = torch.rand(len(s), generator=g)
        std = float(torch.rand((), generator=g) * s.max())
        prior = GaussianMixture(centers.repeat(1, d // 2), 1.0, weights)
        return Setting(prior, MatrixOperator((U * s) @ Vh), Noise(std))

    return setting


def _digits(seed: int, path: Path | None = None) -> Setting:
    """Fifty digits of 14 x 14 pixels, of which the upper half is seen."""
    if path is None:
        folder = os.environ.get("INVGEN_DATA")
        if folder is None or not (Path(folder) / DIGITS).is_file():
            raise FileError(
                f"The digits are not here: INVGEN_DATA should name a folder with {DIGITS}, of MNIST; it is "
                f"{folder or 'not set'}."
            )
        path = Path(folder) / DIGITS
    from invgen.io.images import read_images

    images = read_images(path)
    chosen = torch.randperm(len(images), generator=_generator(seed))[:50]
    data = Downsample((28, 28), 2)(torch.stack([torch.as_tensor(images[i]) for i in chosen]))
    mask = torch.zeros(14, 14, dtype=torch.bool)
    mask[:7] = True
    return Setting(KernelDensity(data, 0.1), Mask(mask), Noise(0.1))


_SMALL, _WIDE = (4, 4), (4, 8)

#: Standard deviation of a pixel of the mixtures, of equal weights.
_MIXTURE_STD = math.sqrt(8**2 * 2 + 1)

#: Those with a Gaussian prior, which is a linear generator too.
_GAUSSIAN = [
    Case("dense-2", "Gaussian in 2 dimensions, 1 random measurement", _vectors(2, 1, False), 1.0),
    Case("dense-8", "Gaussian in 8 dimensions, 4 random measurements", _vectors(8, 4, False), 1.0),
    Case(
        "isotropic-8", "isotropic Gaussian in 8 dimensions, 4 random measurements", _vectors(8, 4, True), 1.0
    ),
    Case(
        "mask-16",
        "Gaussian images of 4 x 4 pixels, half of which are seen",
        _images(_SMALL, lambda g: Mask(_half(_SMALL, g))),
        1.0,
    ),
    Case(
        "fourier-16",
        "complex Gaussian images of 4 x 4 pixels, half of k-space",
        _images(_SMALL, lambda g: _as_matrix(MRI(_SMALL, _half(_SMALL, g))), "complex"),
        1.0,
    ),
    Case(
        "average-32",
        "Gaussian images of 4 x 8 pixels, averages of 2 x 2",
        _images(_WIDE, lambda g: Downsample(_WIDE, 2)),
        1.0,
    ),
    Case(
        "radon-32",
        "Gaussian images of 4 x 8 pixels, 3 projections",
        _images(_WIDE, lambda g: _as_matrix(Radon(_WIDE, 3))),
        1.0,
    ),
    Case(
        "low-rank-16",
        "Gaussian images of 4 x 4 pixels in 4 dimensions, 6 random measurements",
        _low_rank(_SMALL, 4, 6),
        1.0,
    ),
]

_ALL = [
    *(replace(case, view=GeneratorView) for case in _GAUSSIAN),
    *(
        Case(
            f"mixture-{d}-{m}",
            f"mixture of 25 Gaussians in {d} dimensions, {m} measurement{'s' * (m > 1)}",
            _mixture(d, m),
            _MIXTURE_STD,
        )
        for d in (8, 80)
        for m in (1, 2, 4, *(() if d == 8 else (d // 2,)))
    ),
    Case("digits", "fifty digits of 14 x 14 pixels with noise, the upper half seen", _digits, 0.3),
]

#: Measurements so exact that the posterior is a thousand times as narrow as the prior in some directions.
_SMALL_NOISE = [
    Case(
        f"small-noise-{'mixture-' * mixture}{d}-{level}",
        f"{'mixture of 25 Gaussians' if mixture else 'Gaussian'} in {d} dimensions, {d // 2} "
        f"measurement{'s' * (d > 2)} with noise of {level} of the prior's deviation",
        _small_noise(d, level, mixture),
        _MIXTURE_STD if mixture else 1.0,
        DenoiserView if mixture else GeneratorView,
    )
    for mixture in (False, True)
    for d in (2, 8, 32)
    for level in (0.01, 0.001)
]

#: The problems by their names.
CASES = {case.name: case for case in (*_ALL, *_SMALL_NOISE, *FIELD_CASES, *SIGNAL_CASES)}

#: Names of those in 2 to 80 dimensions with the noise of usual measurements, and of digits.
VECTORS = tuple(case.name for case in _ALL)

#: Names of those with small noise.
SMALL_NOISE = tuple(case.name for case in _SMALL_NOISE)

#: Names of those with a Gaussian prior, and of those with a mixture.
GAUSSIAN = tuple(case.name for case in _GAUSSIAN)
MIXTURES = tuple(name for name in VECTORS if name.startswith("mixture"))


def digits_of(path: Path) -> Case:
    """The problem "digits" with MNIST's digits in this file, wherever ``INVGEN_DATA`` is."""
    return replace(CASES["digits"], setting=partial(_digits, path=path))


def find_case(name: str) -> Case:
    """Find a problem by its name.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    if name not in CASES:
        raise ParameterError(f"There is no problem {name!r}; there are {', '.join(CASES)}.")
    return CASES[name]
