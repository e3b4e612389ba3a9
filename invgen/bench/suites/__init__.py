"""The suites that come with the package, by name, and those of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invgen.bench.names import imported, require_name
from invgen.core.errors import ParameterError

if TYPE_CHECKING:
    from invgen.bench.suite import Suite

__all__ = ["ENTRY_POINTS", "SUITES", "load_suites"]

#: Group of the entry points by which other packages offer suites: names, and ``module:object``.
ENTRY_POINTS = "invgen.bench"


def _make(place: str, data: Path) -> Suite:
    """The suite that ``module:object`` stands for."""
    from invgen.bench.suite import Suite

    found = imported(place)
    made = found if isinstance(found, Suite) else found(data) if callable(found) else None
    if not isinstance(made, Suite):
        raise ParameterError(
            f"{place} is {type(found).__name__}; it should be a Suite, or make one of the folder of data."
        )
    return made


def _of_package(module: str, name: str) -> Callable[[Path], Suite]:
    return partial(_make, f"invgen.bench.suites.{module}:{name}")


#: What makes each suite of a folder of data; only those that are asked for are imported.
SUITES: dict[str, Callable[[Path], Suite]] = {
    "cs-digits": _of_package("cs_digits", "CompressedDigits"),
    "digits": _of_package("digits", "Digits"),
    "inpainting": _of_package("photographs", "Inpainting"),
    "super-resolution": _of_package("photographs", "SuperResolution"),
    "deblurring": _of_package("photographs", "Deblurring"),
    "colorization": _of_package("photographs", "Colorization"),
    "ct-sparse": _of_package("ct", "ct_sparse"),
    "ct-limited": _of_package("ct", "ct_limited"),
    "ct-low-dose": _of_package("ct", "ct_low_dose"),
    "score-ct": _of_package("ct", "score_ct"),
    "mri-r4": _of_package("mri", "mri_r4"),
    "mri-r8": _of_package("mri", "mri_r8"),
    "mri-lines": _of_package("mri", "mri_lines"),
    "langevin-mri": _of_package("mri", "langevin_mri"),
    "dm4ct-lodochallenge": _of_package("dm4ct", "lodochallenge"),
    "dm4ct-lodoind": _of_package("dm4ct", "lodoind"),
    "inversebench-scattering": _of_package("inversebench", "Scattering"),
    "inversebench-mri": _of_package("inversebench", "KneeMRI"),
    "certify": _of_package("certify", "Certify"),
    "ranks": _of_package("ranks", "Ranked"),
    "operators": _of_package("operators", "Operators"),
}


def load_suites(names: Sequence[str], data: Path) -> list[Suite]:
    """Find suites by name, file or module.

    Parameters
    ----------
    names : sequence of str
        Of each the name of a suite of `SUITES` or of an entry point in the group "invgen.bench", a file
        ``*.toml`` (see `invgen.bench.toml`), or ``module:object``, the object being a `Suite` or what makes
        one of the folder of data.
    data : path
        Folder of data.

    Raises
    ------
    ParameterError
        Where there is none of that name, with the nearest names; where two have the same.
    FileError
        Where a file is none, or says what cannot be.
    """
    found = [_load(name, data) for name in names]
    own = [suite.name for suite in found]
    if twice := sorted({name for name in own if own.count(name) > 1}):
        raise ParameterError(
            f"There are two suites {', '.join(twice)}: results are kept by name. Rename one."
        )
    return found


def _load(name: str, data: Path) -> Suite:
    from importlib.metadata import entry_points

    if name in SUITES:
        return SUITES[name](data)
    if name.endswith(".toml"):
        from invgen.bench.toml import read_suite

        return read_suite(name)
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name in offered:
        return _make(offered[name], data)
    if ":" in name:
        return _make(name, data)
    require_name(name, {*SUITES, *offered}, "suite")
    raise AssertionError("a name that is known has been found above")
