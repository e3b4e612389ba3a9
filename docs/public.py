"""The public names of the package: what ``invgen.__all__`` reaches, and the packages below it.

A module is public where the ``__all__`` of a public module names it, or where it is a package in the folder
of one. An object is documented once: under the first module that has it, which is the one to import it from.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from dataclasses import dataclass
from functools import cache
from typing import Any

import invgen

__all__ = ["Name", "bases", "names", "public_modules"]


@dataclass(frozen=True)
class Name:
    """A public name: the module to import it from, and the object."""

    module: str
    name: str
    object: Any

    @property
    def path(self) -> str:
        """What it is called from anywhere."""
        return f"{self.module}.{self.name}"

    @property
    def called(self) -> str:
        """What it is called after ``import invgen as ig``."""
        return f"ig{self.path.removeprefix('invgen')}"

    @property
    def doc(self) -> str:
        """Its docstring; none of constants, whose own would be that of their type."""
        return inspect.getdoc(self.object) or "" if self.is_code else ""

    @property
    def is_code(self) -> bool:
        """Whether it is a class or a function, and no constant or type alias."""
        return inspect.isclass(self.object) or inspect.isroutine(self.object)


def _reachable() -> list[tuple[str, types.ModuleType]]:
    """Public modules by the shortest way to write them, such as ``invgen.operators.masks``."""
    found = [("invgen", invgen)]
    for called, module in found:  # grows as it is read
        known = {id(each) for _, each in found}
        inner = ((f"{called}.{name}", getattr(module, name)) for name in module.__all__)
        found += [
            (name, each)
            for name, each in inner
            if isinstance(each, types.ModuleType) and hasattr(each, "__all__") and id(each) not in known
        ]
    return found


@cache
def public_modules() -> dict[str, types.ModuleType]:
    """Public modules by how they are called: those that are reached first, then the packages below them."""
    found = dict(_reachable())
    for module in list(found.values())[1:]:
        for info in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
            if info.ispkg:
                package = importlib.import_module(info.name)
                if hasattr(package, "__all__") and package not in found.values():
                    found[info.name] = package
    return found


@cache
def names() -> tuple[Name, ...]:
    """Every public name that is no module, once."""
    seen: set[int] = set()
    found = []
    for called, module in public_modules().items():
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, types.ModuleType) or id(value) in seen:
                continue
            seen.add(id(value))
            found.append(Name(called, name, value))
    return tuple(found)


def bases() -> list[type]:
    """Bases of public classes that are no public names themselves; what they have is inherited."""
    known = {name.object for name in names() if inspect.isclass(name.object)}
    found = {base for each in known for base in each.__mro__ if base.__module__.startswith("invgen")} - known
    return sorted(
        (base for base in found if not base.__name__.startswith("_")), key=lambda base: base.__name__
    )
