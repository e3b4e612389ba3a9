"""``invgen check``: whether images are such as a prior has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from invgen.cli.console import err, out, show

__all__ = ["check"]

#: Rows of the table on a terminal.
_ROWS = 20


def check(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="A folder of pictures, or a NPY, NPZ, HDF5, IDX (MNIST's) or NIfTI file of images.",
        ),
    ],
    prior: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A prior that comes with the package, or a file of one.")
    ],
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Images of the kind that is expected, which the prior has not learned from; by default, the "
            "statistics in the prior's file.",
        ),
    ] = None,
    statistic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="symmetry-and-states, density-of-states, log-likelihood, typicality, likelihood-ratio, "
            "input-complexity, symmetry-ratio, score-norms or reconstruction-error; by default what suits "
            "the prior.",
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="False discovery rate, Benjamini and Hochberg."),
    ] = 0.05,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Table of all images to write, .csv or .json."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture of the most anomalous images to write, .png.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Array of the images, in files that hold several.")
    ] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Make colors gray.")] = False,
) -> None:
    """Test whether images come from the distribution of a prior's calibration images.

    The p-value of an image is the chance that one of that distribution is as anomalous. Discoveries are the
    images that are anomalous although many are tested.
    """
    from invgen.pipeline.checking import check_images
    from invgen.pipeline.inputs import probe_inputs

    probe_inputs(images, calibration, prior)
    columns = (TextColumn("testing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("testing", total=None)
        found = check_images(
            images,
            prior,
            calibration=calibration,
            statistic=statistic,
            level=level,
            output=output,
            picture=picture,
            dataset=dataset,
            gray=gray,
            advance=lambda done, total: bar.update(task, completed=done, total=total),
        )
    rows = found.rows()
    many = len(rows) > _ROWS
    shown = f"the {_ROWS} most anomalous of {len(rows)} images" if many else "the most anomalous first"
    show(f"{found.statistic}: {shown}")
    out.print(_table(rows[:_ROWS]))
    count, total, known = int(found.discovered.sum()), len(found.values), found.calibration
    show(f"{count} of {total} images are anomalous at level {level:g}, by {known} calibration statistics.")
    for path in (output, picture):
        if path is not None:
            show(f"Wrote {path}.")


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("image", "p-value", "statistic"):
        table.add_column(name, justify="right")
    table.add_column("anomalous")
    for row in rows:
        mark = "yes" if row["discovered"] else ""
        table.add_row(str(row["image"]), f"{row['p_value']:.4g}", f"{row['statistic']:.4g}", mark)
    return table
