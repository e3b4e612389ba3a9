"""``invgen calibrate``: intervals with a guarantee by scans of known truth, warnings by scans that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
            "images with --operator and --simulate. With --plausibility they need no truth.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write, for --calibration.")
    ],
    recipe: Recipe,
    reading: Reading,
    plausibility: Annotated[
        bool,
        typer.Option(
            "--plausibility",
            help="Calibrate the warnings of methods with a learned prior: by scans that fit it.",
        ),
    ] = False,
    level: Annotated[
        float | None,
        typer.Option(metavar="LEVEL", help="Part of the pixels that are to be inside, by default 0.9."),
    ] = None,
    guarantee: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="average, the default: of the pixels of a new image, on average; each: of each pixel by "
            "itself; all: of all pixels of an image at once.",
        ),
    ] = None,
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
        float | None,
        typer.Option(
            metavar="PART",
            help="Part of their root mean square that all widths are wider by; by default 0.1.",
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Intervals of the means over regions, in place of pixels: an image (PNG, NPY, NIfTI) whose "
            "pixels are the number of their region, 0 for none.",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --plausibility: 100 images or more as the prior has learned from, none of the scans': "
            "a folder of pictures, NPY, HDF5, NIfTI. To warn of what is elsewhere than in them, and of "
            "images that are turned.",
        ),
    ] = None,
    about: Annotated[str, typer.Option(metavar="TEXT", help="Which scans these are.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
) -> None:
    """Calibrate the intervals of a method, so that they cover new images at a level; or its warnings.

    Scans whose truth is known are reconstructed as invgen recon would, and the intervals of the method are
    widened, or narrowed, until they are right. invgen recon --calibration FILE then gives such intervals to
    new scans of the same kind (operator, image, noise and method), and none to others. They hold for new
    scans that are as those of the calibration, on average over these, whatever the method.

    At a level of 90 % it takes 9 slices or more, at 95 % 19, better ten times as many: with few of them
    intervals are wider than need be. Slices of one scan are alike, and say less than slices of many scans.

    With --plausibility it is the warnings that are calibrated: scans which fit operator, noise and a learned
    prior, and which the prior has not learned from, are reconstructed, and what others are compared with is
    kept. invgen recon --calibration FILE then warns of new scans that do not fit, and wrongly of 5 % of those
    that do. It takes 19 slices or more, better 200, whose views, noise and pixels are around those of new
    scans.
    """
    from invgen.core.errors import ParameterError
    from invgen.pipeline.inputs import probe_inputs

    probe_inputs(*scans, regions, examples, reading, recipe)
    asked = {
        "level": level,
        "guarantee": guarantee,
        "confidence": confidence,
        "width": width,
        "floor": floor,
        "regions": regions,
    }
    promise: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if plausibility and promise:
        raise ParameterError(f"--plausibility is of warnings, and --{next(iter(promise))} of intervals.")
    if examples is not None and not plausibility:
        raise ParameterError("--examples is of warnings: give --plausibility, too.")
    if plausibility:
        promise["examples"] = examples
        from invgen.pipeline.comparing import compare as run
    else:
        promise["labels"] = promise.pop("regions", None)
        from invgen.pipeline.calibrating import calibrate as run  # type: ignore[assignment]
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
            about=about,
            **promise,
        )
    if not quiet:
        show(f"{found!r}")
        show(f"Wrote {output}.")
