"""Speed and accuracy of operators beside those of other packages."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from invgen.bench.peers.common import why_missing
from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Suite, Task
from invgen.bench.suites.data import own_seed
from invgen.bench.suites.packages import IMPLEMENTATIONS, Case, Implementation
from invgen.core.fingerprint import fingerprint
from invgen.operators import (
    DCT,
    MRI,
    Blur,
    Downsample,
    FanBeam,
    GaussianMatrix,
    LinearOperator,
    NonCartesianMRI,
    Radon,
    SubsampledTransform,
    kernels,
    sampling,
    trajectories,
)
from invgen.phantoms import shepp_logan

__all__ = ["Operators"]

_COILS = 8


def _relative(a: Tensor, b: Tensor) -> float:
    wide = torch.promote_types(b.dtype, torch.float64)
    return float(torch.linalg.vector_norm(a.to(wide) - b) / torch.linalg.vector_norm(b))


def _noise(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _middle(y: Tensor, count: int) -> Tensor:
    """The middle bins of a sinogram, between bins where the numbers are of different parity."""
    start = (y.shape[1] - count) / 2
    low = y[:, math.floor(start) : math.floor(start) + count]
    return (low + y[:, math.ceil(start) : math.ceil(start) + count]) / 2


def _parallel(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against the analytic sinogram, averaged over each bin."""
    phantom, A = shepp_logan(size / 2), Radon((size, size), 3 * size // 4)
    exact = phantom.sinogram(A.geometry.angles, A.geometry.detector_count)
    x = phantom.image((size, size), 1.0, supersample=4).float()
    return A, x, lambda y: _relative(y, _middle(exact, y.shape[1]))


def _fan(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against chords of the phantom, averaged over each bin."""
    A = FanBeam((size, size), 3 * size // 4, 2.0 * size, 3.0 * size, detector_spacing=1.5)
    phantom, g = shepp_logan(size / 2), A.geometry
    exact = phantom.fan_sinogram(
        g.angles, g.source_origin, g.source_detector, g.detector_count, g.detector_spacing
    )
    x = phantom.image((size, size), 1.0, supersample=4).float()
    return A, x, lambda y: _relative(y, exact)


def _coil_images(size: int, seed: int) -> tuple[Tensor, Tensor]:
    maps = _noise(_COILS, size, size, seed=seed + 1, dtype=torch.complex64)
    return _noise(size, size, seed=seed, dtype=torch.complex64), maps


def _cartesian(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against NumPy's transform in double precision."""
    x, coils = _coil_images(size, seed)
    mask = sampling.equispaced_lines((size, size), 4, offset=0)
    A = MRI((size, size), mask, coils)
    shifted = np.fft.ifftshift((coils * x).numpy().astype(np.complex128), axes=(1, 2))
    full = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(1, 2))
    exact = A.mask * torch.from_numpy(full)
    return A, x, lambda y: _relative(y, exact)


def _radial(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against the sum over all pixels, in double precision, at 64 of the samples."""
    x, coils = _coil_images(size, seed)
    trajectory = trajectories.radial(25 * size // 16, 2 * size)
    A = NonCartesianMRI((size, size), trajectory, coils)
    k = trajectory.reshape(-1, 2).double()
    chosen = torch.randperm(len(k), generator=torch.Generator().manual_seed(seed))[:64]
    place = torch.arange(size, dtype=torch.float64) - size // 2
    rows, columns = (torch.exp(-2j * math.pi * k[chosen, a, None] * place) for a in (0, 1))
    images = (coils * x).to(torch.complex128)
    exact = torch.einsum("kh,chw,kw->ck", rows, images, columns) / size
    return A, x, lambda y: _relative(y.flatten(1)[:, chosen], exact)


def _blur(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against SciPy's convolution in double precision."""
    from scipy.ndimage import convolve

    x, kernel = _noise(size, size, seed=seed), kernels.gaussian_kernel(2.0)
    exact = torch.from_numpy(convolve(x.double().numpy(), kernel.double().numpy(), mode="wrap"))
    return Blur((size, size), kernel), x, lambda y: _relative(y, exact)


def _block(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against means in double precision."""
    x = _noise(size, size, seed=seed)
    exact = x.double().reshape(size // 4, 4, size // 4, 4).mean((1, 3))
    return Downsample((size, size), 4), x, lambda y: _relative(y, exact)


def _bicubic(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against Pillow, which defines it."""
    from PIL import Image

    x = _noise(size, size, seed=seed)
    picture = Image.fromarray(x.numpy()).resize((size // 4, size // 4), Image.Resampling.BICUBIC)
    exact = torch.from_numpy(np.array(picture)).double()
    return Downsample((size, size), 4, "bicubic"), x, lambda y: _relative(y, exact)


def _cosines(size: int, seed: int) -> tuple[LinearOperator, Tensor, Callable[[Tensor], float]]:
    """Against SciPy in double precision."""
    from scipy.fft import dctn

    x = _noise(size, size, seed=seed)
    exact = torch.from_numpy(dctn(x.double().numpy(), norm="ortho"))
    return DCT((size, size)), x, lambda y: _relative(y, exact)


def _random_cosines(size: int, seed: int) -> tuple[LinearOperator, Tensor, None]:
    """Random numbers of each package's own: there is nothing to compare them with."""
    A = SubsampledTransform((size, size), size * size // 4, seed=seed)
    return A, _noise(size, size, seed=seed), None


def _matrix(size: int, seed: int) -> tuple[LinearOperator, Tensor, None]:
    """Random numbers of each package's own: there is nothing to compare them with."""
    return GaussianMatrix((size, size), size * size // 4, seed), _noise(size, size, seed=seed), None


#: What makes the operator, image and error of each task, with the pixels across in the full and quick forms.
_CASES: dict[str, tuple[Callable[[int, int], Any], int, int]] = {
    "parallel beam": (_parallel, 512, 64),
    "fan beam": (_fan, 512, 64),
    "Cartesian MRI": (_cartesian, 320, 64),
    "radial MRI": (_radial, 256, 32),
    "blur": (_blur, 512, 64),
    "block means": (_block, 512, 64),
    "bicubic": (_bicubic, 512, 64),
    "cosine transform": (_cosines, 1024, 64),
    "random cosines": (_random_cosines, 256, 64),
    "Gaussian matrix": (_matrix, 64, 32),
}

#: Distribution of each package.
_PACKAGES = {
    "invgen": "invgen",
    "invgen, Joseph": "invgen",
    "ASTRA": "astra-toolbox",
    "scikit-image": "scikit-image",
    "DeepInverse": "deepinv",
    "SigPy": "sigpy",
    "FINUFFT": "finufft",
    "SciPy": "scipy",
    "Pillow": "pillow",
}


@functools.lru_cache(maxsize=2)
def _case(name: str, size: int, seed: int) -> Case:
    return Case(name, *_CASES[name][0](size, seed))


@dataclass(frozen=True)
class _Package:
    """As an entry calls it: the package's implementation of a case."""

    name: str

    def __call__(self, case: Case, settings: Mapping[str, float], seed: int) -> Implementation:
        return IMPLEMENTATIONS[self.name, case.name](case)


@dataclass(frozen=True)
class Operators(Suite):
    """Operators of each package on the same image, on as many threads as PyTorch uses.

    Parameters
    ----------
    data : path
        Folder of data, of which nothing is needed.
    small : bool
        Images of the quick form.
    seconds : float
        That each race takes, about: the turns that two operators take are as many as fit, and three at least.
    """

    data: Path
    small: bool = False
    seconds: float = 2.0

    name = "operators"
    about = (
        "Forward operator, adjoint and gram of each package on one image in single precision, in turns with "
        "invgen's; error against a closed form or the explicit sum. Timed is the call alone, on data in "
        "the package's own form. Nothing is tuned."
    )
    primary = "gram_ms"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each operator."""
        return tuple(
            Task(name, ("one image",), axes={"size": small if self.small else size})
            for name, (_, size, small) in _CASES.items()
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The packages."""
        found = []
        for name, package in _PACKAGES.items():
            kind: Any = "baseline" if package == "invgen" else "peer"
            found.append(Entry(name, _Package(name), kind, package=package, missing=why_missing(package)))
        return tuple(found)

    def takes(self, entry: Entry, task: Task) -> bool:
        """Whether the package has that operator."""
        return (entry.name, task.name) in IMPLEMENTATIONS

    def quick(self) -> Self:
        """Small images, and few turns."""
        return replace(self, small=True, seconds=0.1)

    def content(self, task: Task, image: str, seed: int) -> str:
        """Fingerprint of operator and image."""
        case = self._case(task, seed)
        return fingerprint(case.operator, case.x, seed)

    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """Time an implementation in turns with invgen's, and measure its errors."""
        case = self._case(task, seed)
        theirs, ours = entry.solve(case, settings, seed), IMPLEMENTATIONS["invgen", task.name](case)
        y = theirs.apply(case.x)
        found = {} if case.error is None else {"operator_error": case.error(y)}
        times = _times(theirs, ours, case.x, y, case.operator(case.x), self.seconds)
        for part, (peer, own) in times.items():
            found |= {f"{part}_ms": 1e3 * peer, f"{part}_ratio": peer / own}
        if theirs.adjoint is not None:
            found["adjoint_error"] = _adjointness(theirs, case.x, y, seed)
        return Outcome(found, {"seconds": times.get("gram", times["forward"])[0]})

    def _case(self, task: Task, seed: int) -> Case:
        return _case(task.name, int(task.axes["size"]), own_seed(seed, task.name) % 2**31)


def _times(
    theirs: Implementation, ours: Implementation, x: Tensor, y: Tensor, own_y: Tensor, seconds: float
) -> dict[str, tuple[float, float]]:
    """Shortest times of an implementation and of invgen's, by part."""
    image, own = theirs.image[0](x), ours.image[0](x)
    found = {"forward": _race(lambda: theirs.forward(image), lambda: ours.forward(own), seconds)}
    if theirs.adjoint is None:
        return found
    adjoint, own_adjoint, own_gram = theirs.adjoint, ours.adjoint, ours.gram
    assert own_adjoint is not None
    assert own_gram is not None
    gram = theirs.gram or (lambda z: adjoint(theirs.forward(z)))
    data = theirs.data[0](y)
    found["adjoint"] = _race(lambda: adjoint(data), lambda: own_adjoint(own_y), seconds)
    found["gram"] = _race(lambda: gram(image), lambda: own_gram(own), seconds)
    return found


def _race(one: Callable[[], object], other: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Shortest wall time of each call, taken in turns: short calls are hit by whatever else runs."""
    calls, best, spent, rounds = (one, other), [math.inf, math.inf], 0.0, 0
    for call in calls:
        call()
    while rounds < 3 or spent < seconds:
        for i, call in enumerate(calls):
            began = time.perf_counter()
            call()
            took = time.perf_counter() - began
            best[i], spent = min(best[i], took), spent + took
        rounds += 1
    return best[0], best[1]


def _adjointness(theirs: Implementation, x: Tensor, y: Tensor, seed: int) -> float:
    """``|<A x, y> - <x, A.H y>| / (|A x| |y|)`` for white noise."""
    u, v = (_noise(*z.shape, seed=seed + i, dtype=z.dtype) for i, z in enumerate((x, y)))
    Au, Av = theirs.apply(u), theirs.transpose(v)
    wide = torch.complex128 if x.is_complex() or y.is_complex() else torch.float64
    left, right = (torch.vdot(a.flatten().to(wide), b.flatten().to(wide)) for a, b in ((v, Au), (Av, u)))
    scale = torch.linalg.vector_norm(Au.to(wide)) * torch.linalg.vector_norm(v.to(wide))
    return float((left - right).abs() / scale)
