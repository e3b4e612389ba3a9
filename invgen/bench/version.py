"""What a record was made by: the version of the code, of other packages, of weights, and the machine."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["code_version", "machine", "package_version", "prior_version", "versions"]

#: Parts of the package that do not change what a method returns or how it is measured.
_WITHOUT_EFFECT = ("cli", "figures", "weights", "bench/report", "bench/grid.py", "bench/store.py")

#: Packages whose versions a report lists.
_LISTED = (
    *("invgen", "torch", "numpy", "scipy", "finufft", "numba", "scikit-image", "PyWavelets"),
    *("astra-toolbox", "odl", "deepinv", "sigpy", "algotom", "torchmetrics"),
)


@functools.cache
def code_version() -> str:
    """Version of the package and the first digits of a hash of its source."""
    import invgen
    import invgen.operators
    import invgen.priors
    import invgen.solvers

    digest = hashlib.sha256()
    for module in (invgen, invgen.operators, invgen.priors, invgen.solvers):
        root = Path(str(module.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if module is not invgen or not name.startswith(_WITHOUT_EFFECT):
                digest.update(name.encode() + path.read_bytes())
    return f"{invgen.__version__}+{digest.hexdigest()[:8]}"


def package_version(name: str) -> str:
    """Version of an installed distribution; of this package, with the hash of its source."""
    if name == "invgen":
        return code_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@functools.cache
def prior_version(prior: str) -> str:
    """Hash of the weights that a name or a path stands for; "" where it stands for none."""
    from invgen.priors.files import checkpoints

    if prior not in checkpoints.shipped() and not Path(prior).is_file():
        return ""
    with checkpoints.located(prior) as path:
        return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of the packages that matter, of those that are installed."""
    found = {name: package_version(name) for name in _LISTED}
    return {name: value for name, value in found.items() if value != "not installed"}


@functools.cache
def machine() -> str:
    """Processor, cores and operating system, in a line."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":")[1].strip()
                break
    except OSError:
        pass
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
