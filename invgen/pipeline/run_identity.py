"""What a run is of: whether a run that was stopped is the one that is asked for again, and if not, why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.text import brief
from invgen.io.formats.volume import package_versions
from invgen.pipeline.options import options, recorded, restored
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe

if TYPE_CHECKING:
    from invgen.io import MeasuredImages, MRIScan, Scan

__all__ = ["choices_of", "differences", "files_of", "identity", "with_choices"]

#: In a record, of the center of rotation where it was found.
_ERROR = "standard error of the center"


def files_of(
    path: Path, scan: Scan | MRIScan | MeasuredImages, reading: Reading, recipe: Recipe
) -> list[Path]:
    """Whole paths of all that a run reads; of a folder, the folder stands for what is in it."""
    whole = path.resolve()
    files = {each.resolve() for each in (*scan.files, *reading.files.values())}
    if recipe.prior is not None and Path(recipe.prior).exists():
        files.add(Path(recipe.prior).resolve())
    files |= {Path(name).resolve() for name in recipe.calibration or ()}
    return sorted({each for each in files if whole not in each.parents} | {whole})


def identity(
    path: Path, scan: Scan | MRIScan | MeasuredImages, reading: Reading, recipe: Recipe
) -> dict[str, Any]:
    """What is asked for, of which files (size and time of the last change), with which versions; as JSON."""
    files = {*files_of(path, scan, reading, recipe), *(each.resolve() for each in scan.files)}
    sizes = {each: each.stat() for each in sorted(files) if each.is_file()}
    return {
        "versions": package_versions(),
        "reading": _listed(recorded(reading.located(path))),
        "recipe": _listed(recorded(recipe.located())),
        "files": {str(each): [found.st_size, found.st_mtime_ns] for each, found in sizes.items()},
    }


def choices_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe in which all is chosen, as JSON holds it."""
    found = _listed(recorded(recipe))
    error = getattr(recipe.center, "uncertainty", None)
    return found if error is None else {**found, _ERROR: error}


def with_choices(record: Mapping[str, Any]) -> Recipe:
    """The recipe that `choices_of` has written.

    Raises
    ------
    ParameterError
        Where it is damaged.
    """
    from invgen.io.ct.center import CenterEstimate

    recipe = restored(Recipe, record)
    if recipe.center is None or _ERROR not in record:
        return recipe
    return replace(recipe, center=CenterEstimate(recipe.center, float(record[_ERROR])))


def _listed(value: Any) -> Any:
    """The same with lists for tuples, as JSON reads it again, which has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _listed(each) for name, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why a record is of another run than what is now, as far as that is known; empty where it is not.

    Parameters
    ----------
    before, now : mapping
        Of what `identity` returns, and of "choices" and "prior".
    """
    for name, value in now.items():
        if name in ("run", "created") or _listed(value) == before.get(name):
            continue
        was, value = before.get(name), _listed(value)
        if name == "prior":
            return "the prior has other weights than the one that it was begun with"
        if not isinstance(was, Mapping) or not isinstance(value, Mapping):
            return f"its record is damaged at {name!r}"
        key = next(key for key in (*value, *was) if was.get(key) != value.get(key))
        if name == "files":
            return f"{key} has changed since it was begun"
        if name == "versions":
            return f"it was begun with {key} {was.get(key)}, and this is {value.get(key)}"
        typed = {each.name: each.typed for table in (Recipe, Reading) for each in options(table)}.get(
            key, key
        )
        return f"{typed} was {_said(was.get(key))} where it was begun, and is {_said(value.get(key))}"
    return ""


def _said(value: Any) -> str:
    return "not given" if value is None else brief(value, 60)
