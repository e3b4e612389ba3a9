"""``extras.py`` prints the extras of the installed package; ``extras.py EXTRA`` imports what one brings.

What needs a GPU to be imported is looked for only, where there is none.
"""

import importlib
import importlib.util
import sys
from importlib.metadata import distribution, metadata, packages_distributions, requires

from packaging.requirements import Requirement

#: Extras whose packages load the libraries of CUDA when they are imported.
ON_A_GPU = ("gpu",)


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


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def main() -> None:
    """Print extras, or import what is named."""
    if len(sys.argv) == 1:
        print(*metadata("invgen").get_all("Provides-Extra"))
        return
    extra = sys.argv[1]
    imports = extra not in ON_A_GPU or _has_gpu()
    for name in brought(extra):
        for module in modules(name):
            if imports:
                importlib.import_module(module)


if __name__ == "__main__":
    main()
