"""``invgen calibrate``: intervals with a guarantee, from scans whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from invgen.cli.console import err, note, show
from invgen.cli.options import typed
from invgen.pipeline import Reading, Recipe

__all__ = ["calibrate"]


@typed(Recipe, Reading)
def calibrate(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="Scans with their truth, as invgen simulate makes them, or with a reference (fastMRI); or "
            "images with --operator and --simulate.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write, for --calibration.")
    ],
    recipe: Recipe,
    reading: Reading,
    level: Annotated[
        float, typer.Option(metavar="LEVEL", help="Part of the pixels that are to be inside, such as 0.9.")
    ] = 0.9,
    guarantee: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="average: of the pixels of a new image, on average; each: of each pixel by itself; all: of "
            "all pixels of an image at once.",
        ),
    ] = "average",
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="PROBABILITY",
            help="average: for all new images, with this probability over the scans of the calibration.",
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What widths are proportional to: quantiles or deviation of samples; of an estimate edges "
            "or constant. By default quantiles, of estimates edges.",
        ),
    ] = None,
    floor: Annotated[
        float,
        typer.Option(metavar="PART", help="Part of their root mean square that all widths are wider by."),
    ] = 0.1,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Intervals of the means over regions, in place of pixels: an image (PNG, NPY, NIfTI) whose "
            "pixels are the number of their region, 0 for none.",
        ),
    ] = None,
    about: Annotated[str, typer.Option(metavar="TEXT", help="Which scans these are.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
) -> None:
    """Calibrate the intervals of a method, so that they cover new images at a level.

    Scans whose truth is known are reconstructed as invgen recon would, and the intervals of the method are
    widened, or narrowed, until they are right. invgen recon --calibration FILE then gives such intervals to
    new scans of the same kind (operator, image, noise and method), and none to others. They hold for new
    scans that are as those of the calibration, on average over these, whatever the method.

    At a level of 90 % it takes 9 slices or more, at 95 % 19, better ten times as many: with few of them
    intervals are wider than need be. Slices of one scan are alike, and say less than slices of many scans.
    """
    from invgen.pipeline.calibrating import calibrate as run
    from invgen.pipeline.inputs import probe_inputs

    probe_inputs(*scans, regions, reading, recipe)
    columns = (SpinnerColumn(), TextColumn("{task.completed} slices"))
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal, transient=True) as bar:
        task = bar.add_task("calibrate", total=None)
        found = run(
            scans,
            output,
            reading,
            recipe,
            (lambda text: None) if quiet else note,
            lambda done: bar.update(task, completed=done),
            labels=regions,
            level=level,
            guarantee=guarantee,
            confidence=confidence,
            width=width,
            floor=floor,
            about=about,
        )
    if not quiet:
        show(f"{found!r}")
        show(f"Wrote {output}.")
