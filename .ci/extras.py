"""``extras.py`` prints the extras of the installed package; ``extras.py EXTRA`` imports what one brings.

Where PyTorch is built without CUDA, what needs its CUDA build is only looked for, and the output says so.
"""

import importlib
import importlib.util
import sys
from importlib.metadata import distribution, metadata, packages_distributions, requires

from packaging.requirements import Requirement

#: Packages that load CUDA when they are imported, or torchvision, whose wheels on PyPI are built for CUDA.
FOR_CUDA = ("cufinufft", "deepinv", "torchmetrics")


def brought(extra: str) -> list[str]:
    """Names of the distributions that an extra asks for here, without other extras of the package."""
    asked = map(Requirement, requires("invgen") or ())
    return [
        each.name
        for each in asked
        if each.name != "invgen"
        and each.marker
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    ]


def modules(name: str) -> list[str]:
    """What can be imported of a distribution: modules and packages that it lists, and that are there."""
    wanted = distribution(name).metadata["Name"]
    listed = [module for module, owners in packages_distributions().items() if wanted in owners]
    public = [module for module in listed if not module.startswith("_") and module.isidentifier()]
    found = [module for module in public if importlib.util.find_spec(module)]
    if not found:
        raise SystemExit(f"{name} is installed, and has no module to import")
    return found


def _has_cuda() -> bool:
    import torch

    return torch.version.cuda is not None


def main() -> None:
    """Print extras, or import what is named."""
    if len(sys.argv) == 1:
        print(*metadata("invgen").get_all("Provides-Extra"))
        return
    extra = sys.argv[1]
    for name in brought(extra):
        found = modules(name)
        if name in FOR_CUDA and not _has_cuda():
            print(f"{name} is installed, and not imported: PyTorch is built without CUDA")
            continue
        for module in found:
            importlib.import_module(module)


if __name__ == "__main__":
    main()
