"""Many samplers on many problems: the samplers by their names, and what comes of them as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from invgen.certification.cases import CASES, Case
from invgen.certification.figures import Build, Figures, certify
from invgen.certification.samplers import Sampler
from invgen.core.errors import CapabilityError, DivergenceError, ParameterError
from invgen.core.files import atomic_path
from invgen.solvers.methods import used_for

__all__ = ["COLUMNS", "LEGEND", "SUFFIXES", "Row", "builds", "floor", "measured", "write_table"]

#: Columns of a table, and what stands in them.
COLUMNS: dict[str, Callable[[Figures], str]] = {
    "distance": lambda f: f"{f.wasserstein:.3g}",
    "over exact": lambda f: f"{f.excess:.3g}",
    "mean": lambda f: f"{f.mean_bias:.3f}",
    "variance": lambda f: f"{f.variance_ratio:.3g}",
    "its error": lambda f: f"{f.variance_error:.3g}",
    "50 %": lambda f: f"{f.coverage_50:.3f}",
    "90 %": lambda f: f"{f.coverage_90:.3f}",
    "ranks": lambda f: f"{f.calibration:.2g}",
    "evaluations": lambda f: f"{f.evaluations:.0f}" + (f" + {f.derivatives:.0f} J" if f.derivatives else ""),
    "seconds": lambda f: f"{f.seconds:.1f}",
}
LEGEND = (
    "distance: sliced Wasserstein-1, and over that of exact samples. mean: its bias in posterior standard "
    "deviations. variance: over the posterior's, the average of all pixels; its error: root mean square of "
    "each pixel's. 50 %, 90 %: probability of the intervals of that level. ranks: p-value of those of the "
    "truths. evaluations: of the denoiser, or generator, for each sample; J: with its derivative."
)


@dataclass(frozen=True)
class Row:
    """What came of one solver on one problem: figures, or the reason why there are none."""

    problem: str
    solver: str
    figures: Figures | None
    reason: str | None = None

    def cells(self) -> list[str]:
        """The solver, and what stands in each column; or the reason in the first."""
        if self.figures is None:
            return [self.solver, str(self.reason)]
        return [self.solver, *(show(self.figures) for show in COLUMNS.values())]

    def plain(self) -> dict[str, Any]:
        """All of it by name."""
        figures = {} if self.figures is None else asdict(self.figures)
        return {"problem": self.problem, "solver": self.solver, **figures, "reason": self.reason}


def builds(names: Collection[str], settings: Mapping[str, Any]) -> dict[str, Build]:
    """What makes each sampler of a prior, with hyper-parameters that all of them have.

    Parameters
    ----------
    names : collection of str
        As in `invgen.solvers.methods`; all samplers where it is empty.
    settings : mapping
        Hyper-parameters by name.

    Raises
    ------
    ParameterError
        For names of no sampler, and hyper-parameters that one does not have.
    """
    methods = used_for("certify")
    if unknown := set(names) - set(methods):
        raise ParameterError(
            f"{', '.join(sorted(unknown))}: no such sampler; there are {', '.join(methods)}."
        )
    for name in names or methods:
        methods[name].check(settings)
    return {name: Sampler(name, settings).build for name in names or methods}


def measured(
    name: str,
    build: Build,
    case: Case,
    *,
    samples: int,
    measurements: int,
    rounds: int,
    seed: int,
    advance: Callable[[], None],
) -> Row:
    """Certify a sampler, or say why it cannot be; see `invgen.certification.certify`."""
    numbers = {"samples": samples, "measurements": measurements, "rounds": rounds}
    try:
        figures = certify(build, case, seed=seed, advance=advance, **numbers)
    except (CapabilityError, DivergenceError) as error:
        return Row(case.name, name, None, str(error))
    return Row(case.name, name, figures)


def floor(rows: list[Row]) -> str:
    """The distance between sets of exact samples, the same for all rows of a problem."""
    floors = [row.figures.floor for row in rows if row.figures is not None]
    return f" (exact samples: {floors[0]:.3g})" if floors else ""


def write_table(path: Path, rows: list[Row], settings: Mapping[str, Any]) -> None:
    """Write a table as its suffix says, one of `SUFFIXES`, with the settings that it was made with."""
    with atomic_path(path) as beside:
        beside.write_text("".join(_WRITERS[path.suffix](rows, settings)), encoding="utf-8")


def _json(rows: list[Row], settings: Mapping[str, Any]) -> Iterator[str]:
    yield json.dumps({"settings": {**settings}, "rows": [row.plain() for row in rows]}, indent=2) + "\n"


def _csv(rows: list[Row], settings: Mapping[str, Any]) -> Iterator[str]:
    text = StringIO()
    plain = [row.plain() for row in rows]
    writer = csv.DictWriter(text, max(plain, key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    yield text.getvalue()


def _markdown(rows: list[Row], settings: Mapping[str, Any]) -> Iterator[str]:
    given = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    yield f"{LEGEND} ({given})\n"
    for name in dict.fromkeys(row.problem for row in rows):
        own = [row for row in rows if row.problem == name]
        yield f"\n### {name}\n\n{CASES[name].about}{floor(own)}\n\n"
        yield f"| solver | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}\n"
        for row in own:
            cells = row.cells()
            yield f"| {' | '.join(cells + [''] * (len(COLUMNS) + 1 - len(cells)))} |\n"


_WRITERS = {".json": _json, ".csv": _csv, ".md": _markdown}

#: Suffixes of the files that `write_table` writes.
SUFFIXES = tuple(_WRITERS)
