"""``invgen certify``: posterior samplers on problems whose posterior is known."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from invgen.cli.console import err, out, say
from invgen.core.errors import CapabilityError, DivergenceError, ParameterError
from invgen.pipeline.outputs import require_room

if TYPE_CHECKING:
    from invgen.certification import Case, Figures

#: Problems and numbers of a quick run, and the numbers of a full one, of all problems.
_QUICK = ("dense-8", "mask-16", "radon-32", "mixture-8-1", "mixture-8-4")
_NUMBERS = {"samples": 400, "measurements": 5, "rounds": 2}
_FULL = {"samples": 1000, "measurements": 10, "rounds": 5}

#: Columns of a table, and what stands in them.
_COLUMNS: dict[str, Callable[[Figures], str]] = {
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
_LEGEND = (
    "distance: sliced Wasserstein-1, and over that of exact samples. mean: its bias in posterior standard "
    "deviations. variance: over the posterior's, the average of all pixels; its error: root mean square of "
    "each pixel's. 50 %, 90 %: probability of the intervals of that level. ranks: p-value of those of the "
    "truths. evaluations: of the denoiser for each sample; J: with its derivative."
)


@dataclass(frozen=True)
class _Row:
    """What came of one solver on one problem: figures, or the reason why there are none."""

    problem: str
    solver: str
    figures: Figures | None
    reason: str | None = None

    def cells(self) -> list[str]:
        if self.figures is None:
            return [self.solver, str(self.reason)]
        return [self.solver, *(show(self.figures) for show in _COLUMNS.values())]

    def plain(self) -> dict[str, Any]:
        figures = {} if self.figures is None else asdict(self.figures)
        return {"problem": self.problem, "solver": self.solver, **figures, "reason": self.reason}


def certify(
    solver: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOLVER]...", help="Samplers, as `invgen recon --solver` names them."),
    ] = None,
    problem: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A problem, such as mixture-8-1; may be given several times."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="For each measurement, by default 400.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Of every solver, by default its own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of problems and samples.")] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="All problems, with more samples and measurements.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Table to write: .json, .csv or .md."),
    ] = None,
) -> None:
    """Measure posterior samplers where the posterior is known exactly: distance, bias, coverage, ranks.

    A sampler sees nothing of the prior but its denoiser. Problems are Gaussian images through several
    operators, and mixtures of which most samplers find too few modes, or too many. A minute or two for one
    solver.
    """
    from invgen.certification import CASES

    builds = _builds(solver, iterations)
    if output is not None:
        if output.suffix not in _WRITERS:
            raise ParameterError(f"-o is a table: {', '.join(_WRITERS)}; got {output}.")
        require_room(output, 0)
    numbers = (_FULL if full else _NUMBERS) | ({} if samples is None else {"samples": samples})
    cases = _cases(problem or (CASES if full else _QUICK), asked=bool(problem))
    rows: list[_Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total = len(cases) * len(builds) * numbers["rounds"]
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("certify", total=total)
        for done, case in enumerate(cases):
            found = []
            for place, (name, build) in enumerate(builds.items()):
                bar.update(task, description=f"{name} on {case.name}")
                found.append(_row(name, build, case, numbers, seed, lambda: bar.advance(task)))
                bar.update(task, completed=(done * len(builds) + place + 1) * numbers["rounds"])
            _show(case, found)
            rows += found
    out.print(_LEGEND, style="dim")
    if output is not None:
        _write(output, rows, numbers | {"seed": seed, "iterations": iterations})
        out.print(f"Wrote {output}.", highlight=False, soft_wrap=True)


def _builds(names: list[str] | None, iterations: int | None) -> dict[str, Callable[[Any], Any]]:
    """What makes each solver of a prior."""
    from functools import partial

    from invgen import solvers
    from invgen.pipeline.posterior import SAMPLERS

    if unknown := set(names or ()) - set(SAMPLERS):
        raise ParameterError(
            f"{', '.join(sorted(unknown))}: no such sampler; there are {', '.join(SAMPLERS)}."
        )
    given = {} if iterations is None else {"iterations": iterations}

    def ula(prior: Any) -> Any:
        # its default, 5 / 255 of a value range, where there is none: of one of five standard deviations
        return solvers.ULA(prior, sigma=25 / 255 * prior.spread, **given)

    builds = {name: partial(getattr(solvers, SAMPLERS[name]), **given) for name in names or SAMPLERS}
    return {name: ula if name == "ula" else build for name, build in builds.items()}


def _cases(names: Any, asked: bool) -> list[Case]:
    """The problems of these names; where nobody asked for digits, only if they are there."""
    from invgen.certification.cases import find_case

    if not asked and "digits" in names and not os.environ.get("INVGEN_DATA"):
        say("Note", "blue", "digits are left out: INVGEN_DATA names no folder with them.")
        names = [name for name in names if name != "digits"]
    return [find_case(name) for name in names]


def _row(
    name: str,
    build: Callable[[Any], Any],
    case: Case,
    numbers: dict[str, int],
    seed: int,
    advance: Callable[[], None],
) -> _Row:
    from invgen.certification import certify

    try:
        figures = certify(build, case, seed=seed, advance=advance, **numbers)
    except (CapabilityError, DivergenceError) as error:
        return _Row(case.name, name, None, str(error))
    return _Row(case.name, name, figures)


def _show(case: Case, rows: list[_Row]) -> None:
    """Print the table of a problem, and below it what could not be measured."""
    table = Table(
        "solver", title=f"{case.name}: {case.about}{_floor(rows)}", title_justify="left", title_style="bold"
    )
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for row in rows:
        if row.figures is not None:
            table.add_row(*row.cells())
    if table.row_count:
        out.print(table)
    for row in rows:
        if row.figures is None:
            out.print(f"{row.solver} on {row.problem}: {row.reason}", highlight=False, markup=False)


def _floor(rows: list[_Row]) -> str:
    """The distance between sets of exact samples, the same for all rows."""
    floors = [row.figures.floor for row in rows if row.figures is not None]
    return f" (exact samples: {floors[0]:.3g})" if floors else ""


def _json(rows: list[_Row], settings: dict[str, Any]) -> Iterator[str]:
    yield json.dumps({"settings": settings, "rows": [row.plain() for row in rows]}, indent=2) + "\n"


def _csv(rows: list[_Row], settings: dict[str, Any]) -> Iterator[str]:
    from io import StringIO

    text = StringIO()
    plain = [row.plain() for row in rows]
    writer = csv.DictWriter(text, max(plain, key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    yield text.getvalue()


def _markdown(rows: list[_Row], settings: dict[str, Any]) -> Iterator[str]:
    from invgen.certification import CASES

    told = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    yield f"{_LEGEND} ({told})\n"
    for name in dict.fromkeys(row.problem for row in rows):
        own = [row for row in rows if row.problem == name]
        yield f"\n### {name}\n\n{CASES[name].about}{_floor(own)}\n\n"
        yield f"| solver | {' | '.join(_COLUMNS)} |\n|---|{'---:|' * len(_COLUMNS)}\n"
        for row in own:
            cells = row.cells()
            yield f"| {' | '.join(cells + [''] * (len(_COLUMNS) + 1 - len(cells)))} |\n"


_WRITERS = {".json": _json, ".csv": _csv, ".md": _markdown}


def _write(path: Path, rows: list[_Row], settings: dict[str, Any]) -> None:
    from invgen.core.files import atomic_path

    with atomic_path(path) as beside:
        beside.write_text("".join(_WRITERS[path.suffix](rows, settings)), encoding="utf-8")
