"""What `invgen recon` is told of a reconstruction, and which of it fits a scan."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from invgen.core.errors import ParameterError
from invgen.pipeline.posterior import SAMPLERS, SPECTRAL, usable
from invgen.pipeline.reading import Reading

Kind = Literal["CT", "MRI"]

#: How many samples are drawn, where nothing is said.
_SAMPLES = 8

_OF_SAMPLERS = {"prior", "samples", "scale", "iterations"}
_OF_MAPS = {"maps", "compress", "whiten"}

#: Which options each solver understands.
SOLVERS: dict[Kind, dict[str, set[str]]] = {
    "CT": {
        "fbp": {"window"},
        "tv": {"weight", "iterations", "nonnegative"},
        "cg": {"weight", "iterations"},
        "sirt": {"iterations", "nonnegative"},
        "ossart": {"iterations", "nonnegative"},
        **{name: _OF_SAMPLERS for name in SAMPLERS if name not in SPECTRAL},
    },
    "MRI": {
        "rss": set(),
        "zero-filled": _OF_MAPS,
        "cg-sense": _OF_MAPS | {"weight", "iterations"},
        "tv": _OF_MAPS | {"weight", "iterations"},
        **dict.fromkeys(SAMPLERS, _OF_MAPS | _OF_SAMPLERS),
    },
}
#: Options that choose and prepare the data.
_DATA: dict[Kind, set[str]] = {
    "CT": {"views", "angles_range", "center", "bin", "size", "remove_stripes"},
    "MRI": {"repetition"},
}


@dataclass(frozen=True)
class Recipe:
    """The options of `invgen recon`; None where the program chooses."""

    solver: str | None = None
    slices: str | None = None
    views: str | None = None
    angles_range: str | None = None
    center: float | None = None
    bin: int = 1
    size: int | None = None
    remove_stripes: bool = False
    repetition: int = 0
    maps: str | None = None
    compress: int | None = None
    whiten: bool = True
    weight: float | None = None
    iterations: int | None = None
    window: str | None = None
    nonnegative: bool | None = None
    prior: str | None = None
    samples: int | None = None
    scale: float | None = None
    device: str = "auto"
    seed: int = 0

    def fitting(self, kind: Kind, default: str) -> Recipe:
        """The recipe with its solver, or the default one, for a scan of this kind.

        Raises
        ------
        ParameterError
            When something in it is for scans of another kind, or means nothing to the solver; and when a
            sampler has no prior.
        """
        article = {"CT": "a CT scan", "MRI": "an MRI scan"}[kind]
        other: Kind = "MRI" if kind == "CT" else "CT"
        solvers = SOLVERS[kind]
        solver = self.solver or default
        if solver not in solvers:
            raise ParameterError(
                f"--solver {solver} is for {other} scans; this is {article}: {', '.join(solvers)}."
            )
        everything = asdict(Recipe())
        given = {name for name, value in asdict(self).items() if value != everything[name]}
        of_solvers = set.union(*(known for each in SOLVERS.values() for known in each.values()))
        for name in sorted(given & (_DATA[other] | of_solvers - solvers[solver])):
            takers = ", ".join(each for each, known in solvers.items() if name in known)
            option = "no-whiten" if name == "whiten" else name.replace("_", "-")
            if takers:
                raise ParameterError(f"--{option} means nothing to the solver {solver}; it is for {takers}.")
            raise ParameterError(f"--{option} is for {other} scans; this is {article}.")
        if solver not in SAMPLERS:
            return replace(self, solver=solver)
        if self.prior is None:
            raise ParameterError(
                f"--solver {solver} takes what images look like from a prior: --prior NAME|FILE. "
                f"{usable('complex' if kind == 'MRI' else 'real')}"
            )
        return replace(self, solver=solver, samples=self.samples or _SAMPLES)


def command_line(path: Path, output: Path, reading: Reading, recipe: Recipe) -> str:
    """Write the command that makes the same reconstruction."""
    words = ["invgen", "recon", str(path), "-o", str(output)]
    defaults = asdict(Reading()) | asdict(Recipe())
    for name, value in (asdict(reading) | asdict(recipe)).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            if value != defaults[name]:
                words.append(f"--{option}" if value else f"--no-{option}")
        elif value != defaults[name]:
            words += [f"--{option}", str(value)]
    return shlex.join(words)
