"""``invgen bench``: methods, priors and other packages on the same problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from invgen.cli.console import out, say, show
from invgen.cli.options import DaskAddress
from invgen.cli.tables import progress, show_tables
from invgen.core.errors import ParameterError
from invgen.pipeline.outputs import check_output

__all__ = ["bench"]

_REPORTS = ("report.html", "report.md", "report.csv")


def bench(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE]...", help="Names, or TOML files of your own; `--list` shows them."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Methods that compete, by default those of the suite."),
    ] = None,
    priors: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE,...", help="Priors of those that take one, instead of the suite's."),
    ] = None,
    own: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="A method of your own: problem -> image, by dotted name."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer and smaller images: two minutes for a suite, on two cores.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of sample data, by default that of INVGEN_DATA."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Results; what is in it is not run again."),
    ] = Path("results"),
    images: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of each task, and to tune on; by default all.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of noise and methods; by default the suite's.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Values of a knob that are tried first, by default 7, quick 4; 0: none."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes, by default one for each core.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Of each process.")] = 1,
    dask: DaskAddress = None,
    time_limit: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="That a cell may take: one method on one image.")
    ] = 1800.0,
    max_memory: Annotated[
        float | None, typer.Option(min=0.1, metavar="GIB", help="That a cell may take.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run cells again that failed; else their failures stand.")
    ] = False,
    merge: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Add the results of another machine; may be given several times."),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="parquet", help="Write every record to records.parquet in the folder of results."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the suites and their methods.")] = False,
) -> None:
    """Compare methods, priors and other packages on the same measurements, and write a report.

    Every method runs as it comes, and with its knob tuned on images that are not reported on. A run that is
    stopped goes on with the same command. The report is `report.html` in the folder of results.
    """
    from invgen.bench.benchmark import run
    from invgen.bench.report.curves import curve_axis, curves
    from invgen.figures import save
    from invgen.pipeline.connection import connected

    if listed:
        _list(data)
        return
    if not suites and not merge and export is None:
        raise ParameterError("Name a suite, such as ct-sparse; `invgen bench --list` shows them.")
    for name in _REPORTS:
        if output.is_dir():
            check_output(output / name, suites, data)
    _merge(output, merge or [])
    if suites:
        with progress() as advance, connected(dask) as executor:
            found = run(
                own,
                *suites,
                methods=None if methods is None else _split(methods),
                priors=_split(priors or []),
                quick=quick,
                data=data,
                output=output,
                images=images,
                seeds=seeds,
                trials=trials,
                workers=workers,
                threads=threads,
                time_limit=time_limit,
                max_memory=max_memory,
                retry=retry,
                executor=executor,
                advance=advance,
            )
        show_tables(found.report)
        if found.outdated:
            say("Note", "blue", f"{found.outdated} records of other versions of the code are left out.")
        written = [output / name for name in _REPORTS]
        for path in written:
            found.write(path)
        for suite in found.report.suites:
            if curve_axis(suite) is not None:
                written.append(output / f"{suite.name}.png")
                save(curves(suite), written[-1])
        show(f"Wrote {', '.join(map(str, written))}.")
    if export is not None:
        _export(output, export)


def _split(names: list[str]) -> list[str]:
    return [part.strip() for name in names for part in name.split(",") if part.strip()]


def _list(data: Path | None) -> None:
    """Print the suites."""
    from invgen.bench.suites import SUITES
    from invgen.bench.suites.data import folder

    for name, make in SUITES.items():
        suite = make(folder(data))
        out.print(f"[bold]{name}[/bold]: {suite.about}", highlight=False)
        titles = (f"{e.name} ({e.prior})" if e.prior else e.name for e in suite.entries)
        out.print(f"  methods: {', '.join(titles)}", style="dim", highlight=False)


def _merge(output: Path, others: list[Path]) -> None:
    from invgen.bench.store import Results

    for other in others:
        with Results(output) as results, Results(other, create=False) as more:
            show(f"Added {results.merge(more)} records of {other}.")


def _export(folder: Path, kind: str) -> None:
    from invgen.bench.export import write_parquet
    from invgen.bench.store import Results

    if kind != "parquet":
        raise ParameterError(f"--export knows parquet; got {kind}.")
    path = folder / "records.parquet"
    with Results(folder, create=False) as results:
        write_parquet(results, path)
    show(f"Wrote {path}.")
