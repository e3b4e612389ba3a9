"""What is installed, what computes, and whether it computes what it should."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from invgen import operators, phantoms, priors, solvers
from invgen.core.kernels import Kernels
from invgen.core.threads import thread_count
from invgen.noise import Gaussian
from invgen.operators import LinearOperator
from invgen.operators.nufft import implementation
from invgen.pipeline.devices import chosen, devices_of
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Check", "Diagnosis", "diagnose"]

#: Extras that are for work on the package.
_WORK = ("dev", "docs", "peers", "test")
#: What adjoints may differ by in single precision, and images of small problems.
_EXACT, _NEAR = 1e-5, 1e-3


@dataclass(frozen=True)
class Check:
    """Something that was computed and compared.

    Attributes
    ----------
    name : str
    device : str
    error : float
        By how much it is wrong, relative; NaN where it failed.
    bound : float
        What is right.
    problem : str
        Message of an exception; empty where there was none.
    """

    name: str
    device: str
    error: float
    bound: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Diagnosis:
    """An installation.

    Attributes
    ----------
    versions : dict from str to str
        Of Python and of the packages that are needed.
    extras : dict from str to dict
        Of each extra, the version of each of its packages; None of those that are missing.
    devices : dict from str to str
        What computes, by the name of the device.
    threads : int
        Of PyTorch, compiled kernels and FINUFFT.
    kernels : dict from str to dict
        Of each computation and device, how what serves is written.
    checks : tuple of Check
    warnings : tuple of str
        Of kernels that do not serve, and why.
    seconds : float
    """

    versions: dict[str, str]
    extras: dict[str, dict[str, str | None]]
    devices: dict[str, str]
    threads: int
    kernels: dict[str, dict[str, str]]
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Whether all checks have passed."""
        return all(check.passed for check in self.checks)


def diagnose(device: str = "auto") -> Diagnosis:
    """Look at what is installed, and compute small things whose results are known.

    Kernels that were never used before are compiled, which takes up to a minute; after that it takes seconds.

    Parameters
    ----------
    device : str
        What to test beside the CPU: "auto" takes a GPU where there is one, "cpu" nothing.

    Raises
    ------
    ParameterError
        For devices that are not there.
    """
    begun = time.perf_counter()
    named = [each for each in devices_of(chosen(device)) if each.type != "cpu"]
    tested = [torch.device("cpu"), *named]
    checks = tuple(_checked(name, check, each) for each in tested for name, check in _CHECKS.items())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernels = _kernels(tested)
    needed, extras = _packages()
    return Diagnosis(
        {"Python": platform.python_version(), "invgen": metadata.version("invgen"), **needed},
        extras,
        {str(each): _device(each) for each in tested},
        thread_count(),
        kernels,
        checks,
        tuple(str(warning.message) for warning in caught),
        time.perf_counter() - begun,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> tuple[dict[str, str], dict[str, dict[str, str | None]]]:
    """Versions of what is needed, and of each extra's packages."""
    needed: dict[str, str] = {}
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in metadata.requires("invgen") or ():
        package = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if extra is None:
            needed[package] = _version(package) or "missing"
        elif extra[1] not in _WORK:
            extras.setdefault(extra[1], {})[package] = _version(package)
    return needed, extras


def _device(device: torch.device) -> str:
    if device.type == "cpu":
        return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def _kernels(devices: list[torch.device]) -> dict[str, dict[str, str]]:
    """How every computation that has kernels is written, on each device."""
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("invgen.")]
    values = [value for module in modules for value in vars(module).values()]
    found = {each.name: each for each in values if isinstance(each, Kernels)}
    owned = [vars(value).get("kernels") for value in values if isinstance(value, type)]
    found |= {each.name: each for each in owned if isinstance(each, Kernels)}
    likes = {str(device): torch.empty(0, device=device) for device in devices}
    kinds = {
        name.replace("_", " "): {device: each.written_for(like) for device, like in likes.items()}
        for name, each in sorted(found.items())
    }
    gridding = kinds.pop("gridding")  # one of the ways to a non-uniform FFT
    ways = {str(device): implementation(device) for device in devices}
    kinds["non-uniform FFT"] = {
        device: f"gridding, {gridding[device]}" if way == "gridding" else way for device, way in ways.items()
    }
    return kinds


def _checked(name: str, check: Callable[[torch.device], tuple[float, float]], device: torch.device) -> Check:
    """The result of a check, whatever goes wrong: that is what is looked for."""
    try:
        error, bound = check(device)
    except Exception as problem:
        return Check(name, str(device), math.nan, math.nan, f"{type(problem).__name__}: {problem}")
    return Check(name, str(device), error, bound)


def _adjoint(operator: LinearOperator, device: torch.device) -> tuple[float, float]:
    """By how much ``<A x, y>`` and ``<x, A.H y>`` differ, over ``|A x| |y|``."""
    x, y = (
        space.random(seed=seed, dtype=torch.float32, device=device)
        for seed, space in enumerate((operator.domain, operator.range))
    )
    image = operator(x)
    left, right = operator.range.inner(image, y), operator.domain.inner(x, operator.H(y))
    return float(abs(left - right) / (image.norm() * y.norm())), _EXACT


def _gram(device: torch.device) -> tuple[float, float]:
    """By how much an FFT pair and a projection forth and back differ."""
    A = operators.Radon((32, 32), 24)
    x = A.domain.random(seed=0, dtype=torch.float32, device=device)
    exact = A.H(A(x))
    return float((A.gram(x) - exact).norm() / exact.norm()), _EXACT


def _mri() -> LinearOperator:
    maps = torch.randn(4, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.complex64)
    spokes = operators.trajectories.radial(12, 32)
    return operators.NonCartesianMRI((24, 24), spokes, maps)


def _total_variation(device: torch.device) -> tuple[float, float]:
    """The least objective of a small problem by two algorithms."""
    truth = phantoms.shepp_logan(half_width=16).image((32, 32), pixel_size=1.0).float().to(device)
    A = operators.Radon((32, 32), 24)
    problem = Problem(A, Gaussian(0.2).sample(A(truth), seed=0), Gaussian(0.2))
    prior = priors.TotalVariation(5.0)
    objectives = []
    for solver in (
        solvers.PDHG(prior, iterations=1000, tolerance=1e-6),
        solvers.FISTA(prior, iterations=400),
    ):
        x = solver(problem).x
        objectives.append(float(problem.negative_log_likelihood(x) + prior.value(x)))
    least, other = sorted(objectives)
    return other / least - 1, _NEAR


def _prior(device: torch.device) -> tuple[float, float]:
    """How much of the noise a prior that ships leaves: half of it would be wrong."""
    truth = phantoms.random(seed=0, half_width=32).image((64, 64), pixel_size=1.0).float().to(device)
    truth = truth / truth.max()
    noisy = Gaussian(0.1).sample(truth, seed=0)
    left = priors.load("ct-phantoms").denoise(noisy, 0.1) - truth
    return float(left.norm() / (noisy - truth).norm()), 0.5


def _file(device: torch.device) -> tuple[float, float]:
    """What a file holds after it was written and read again."""
    import h5py

    image = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.h5"
        Reconstruction(image).save(path)
        with h5py.File(path) as file:
            read = torch.from_numpy(file["x"][()])
    return float((read - image.cpu()).abs().max()), 0.0


#: Small computations whose results are known.
_CHECKS: dict[str, Callable[[torch.device], tuple[float, float]]] = {
    "parallel beam, Fourier: adjoint": lambda device: _adjoint(operators.Radon((32, 32), 24), device),
    "parallel beam: A.H A by FFT": _gram,
    "parallel beam, Joseph: adjoint": lambda device: _adjoint(
        operators.Radon((32, 32), 24, method="joseph"), device
    ),
    "fan beam: adjoint": lambda device: _adjoint(
        operators.FanBeam((32, 32), 24, source_origin=100, source_detector=150), device
    ),
    "cone beam: adjoint": lambda device: _adjoint(
        operators.ConeBeam((8, 16, 16), 12, source_origin=60, source_detector=90), device
    ),
    "MRI along spokes, 4 coils: adjoint": lambda device: _adjoint(_mri(), device),
    "wavelets: adjoint": lambda device: _adjoint(operators.Wavelet((32, 32)), device),
    "total variation by two solvers": _total_variation,
    "a prior that ships": _prior,
    "a file, written and read": _file,
}
