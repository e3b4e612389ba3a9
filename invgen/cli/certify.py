"""``invgen certify``: posterior samplers on problems whose posterior is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from invgen.cli.console import err, out, say
from invgen.cli.options import read_settings
from invgen.core.errors import ParameterError
from invgen.pipeline.outputs import require_room
from invgen.pipeline.values import Settings

if TYPE_CHECKING:
    from invgen.certification import Case
    from invgen.certification.table import Row

__all__ = ["certify"]

#: Problems and numbers of a quick run, and the numbers of a full one, of all problems.
_QUICK = ("dense-8", "mask-16", "radon-32", "mixture-8-1", "mixture-8-4")
_NUMBERS = {"samples": 400, "measurements": 5, "rounds": 2}
_FULL = {"samples": 1000, "measurements": 10, "rounds": 5}


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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar=Settings.metavar,
            help=f"Hyper-parameters of every solver. {Settings.syntax}",
        ),
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

    A sampler sees nothing of the prior but its denoiser, and of a Gaussian a linear generator. Problems are
    Gaussian images through several operators, and mixtures of which most samplers find too few modes, or too
    many. A minute or two for one solver.
    """
    from invgen.certification import CASES
    from invgen.certification.table import LEGEND, SUFFIXES, builds, measured, write_table

    given = read_settings(settings)
    if iterations is not None:
        if "iterations" in given:
            raise ParameterError("iterations is given twice, by --set and by --iterations.")
        given["iterations"] = iterations
    samplers = builds(solver or (), given)
    if output is not None:
        if output.suffix not in SUFFIXES:
            raise ParameterError(f"-o is a table: {', '.join(SUFFIXES)}; got {output}.")
        require_room(output, 0)
    numbers = (_FULL if full else _NUMBERS) | ({} if samples is None else {"samples": samples})
    cases = _cases(problem or (CASES if full else _QUICK), asked=bool(problem))
    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total = len(cases) * len(samplers) * numbers["rounds"]
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("certify", total=total)
        for done, case in enumerate(cases):
            found = []
            for place, (name, build) in enumerate(samplers.items()):
                bar.update(task, description=f"{name} on {case.name}")
                found.append(
                    measured(name, build, case, **numbers, seed=seed, advance=lambda: bar.advance(task))
                )
                bar.update(task, completed=(done * len(samplers) + place + 1) * numbers["rounds"])
            _show(case, found)
            rows += found
    out.print(LEGEND, style="dim")
    if output is not None:
        others = {name: value for name, value in given.items() if name != "iterations"}
        write_table(output, rows, numbers | {"seed": seed, "iterations": given.get("iterations"), **others})
        out.print(f"Wrote {output}.", highlight=False, soft_wrap=True)


def _cases(names: Any, asked: bool) -> list[Case]:
    """The problems of these names; where nobody asked for digits, only if they are there."""
    from invgen.certification.cases import find_case

    if not asked and "digits" in names and not os.environ.get("INVGEN_DATA"):
        say("Note", "blue", "digits are left out: INVGEN_DATA names no folder with them.")
        names = [name for name in names if name != "digits"]
    return [find_case(name) for name in names]


def _show(case: Case, rows: list[Row]) -> None:
    """Print the table of a problem, and below it what could not be measured."""
    from invgen.certification.table import COLUMNS, floor

    table = Table(
        "solver", title=f"{case.name}: {case.about}{floor(rows)}", title_justify="left", title_style="bold"
    )
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for row in rows:
        if row.figures is not None:
            table.add_row(*row.cells())
    if table.row_count:
        out.print(table)
    for row in rows:
        if row.figures is None:
            out.print(f"{row.solver} on {row.problem}: {row.reason}", highlight=False, markup=False)
