"""``invgen certify``: posterior samplers on problems whose posterior is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invgen.cli.console import say, show
from invgen.cli.options import read_settings
from invgen.cli.tables import progress, show_tables
from invgen.core.errors import ParameterError
from invgen.core.files import temporary_folder
from invgen.pipeline.outputs import check_output
from invgen.pipeline.values import Settings

if TYPE_CHECKING:
    from invgen.bench.suites.samplers import SamplerSuite

__all__ = ["certify"]

#: Problems and numbers of a quick run; a full one is the suite as it comes.
_QUICK: dict[str, Any] = {
    "cases": ("dense-8", "mask-16", "radon-32", "mixture-8-1", "mixture-8-4"),
    **{"draws": 1, "samples": 400, "measurements": 5, "rounds": 2},
}

#: The same of ranks.
_QUICK_RANKS: dict[str, Any] = {"cases": ("dense-8", "mixture-8-1"), "replicas": 200}


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
        int | None,
        typer.Option(min=1, metavar="N", help="For each measurement, by default 400; with --ranks 49."),
    ] = None,
    ranks: Annotated[
        bool,
        typer.Option(
            "--ranks",
            help="Rank truths among samples instead: simulation-based calibration and TARP, "
            "`invgen bench ranks`.",
        ),
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(min=10, metavar="N", help="Truths to rank, by default 200; with --full 500."),
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
        bool,
        typer.Option(
            "--full", help="All problems, with more samples and measurements: `invgen bench certify`."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Report to write: .html, .md, .csv or .tex."),
    ] = None,
) -> None:
    """Measure posterior samplers where the posterior is known exactly: distance, bias, coverage, ranks.

    A sampler sees nothing of the prior but its denoiser, and of a Gaussian a linear generator. Problems are
    Gaussian images through several operators, and mixtures of which most samplers find too few modes, or too
    many; by --problem also small noise (small-noise-8-0.001), fields of 128 x 128 pixels (field-ct,
    field-mri, field-coils, field-blur, field-mask) and random signals (levy-laplace-denoising). A minute or
    two for one solver. Tables and reports are those of `invgen bench certify`, which also runs in parallel,
    and goes on where it was stopped.
    """
    from invgen.bench import run
    from invgen.bench.report.writing import require_format
    from invgen.bench.suites.certify import Certify
    from invgen.bench.suites.data import folder
    from invgen.bench.suites.ranks import Ranked

    given = read_settings(settings)
    if iterations is not None:
        if "iterations" in given:
            raise ParameterError("iterations is given twice, by --set and by --iterations.")
        given["iterations"] = iterations
    if replicas is not None and not ranks:
        raise ParameterError("--replicas is the number of truths that --ranks takes: give both.")
    chosen = {} if full else dict(_QUICK_RANKS if ranks else _QUICK)
    if problem:
        chosen["cases"] = tuple(dict.fromkeys(problem))
    if samples is not None:
        chosen["samples"] = samples
    if replicas is not None:
        chosen["replicas"] = replicas
    kind: type[SamplerSuite] = Ranked if ranks else Certify
    suite = kind(folder(), tuple(dict.fromkeys(solver or ())), settings=given, seeds=(seed,), **chosen)
    if output is not None:
        check_output(output)
        require_format(output)
    if full and not (problem or ranks) and "digits" not in [task.name for task in suite.tasks]:
        say("Note", "blue", "digits are left out: INVGEN_DATA names no folder with them.")
    with temporary_folder() as results:
        with progress() as advance:
            found = run(None, suite, output=results, workers=0, advance=advance)
        show_tables(found.report)
        if output is not None:
            found.write(output)
            show(f"Wrote {output}.")
