"""``invgen view``: a picture of a reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from invgen.cli.console import show
from invgen.cli.options import reader
from invgen.pipeline.values import Slices

__all__ = ["view"]


def _window(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not LOW:HIGH, two numbers.") from None
    return low, high


def view(
    reconstruction: Annotated[
        Path, typer.Argument(metavar="RECONSTRUCTION", help="File that invgen recon wrote.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="PNG file to write.")],
    slices: Annotated[
        Any,
        typer.Option(
            metavar="A:B",
            parser=reader(Slices()),
            help="Slices of the file, from 0, B left out; by default a few, evenly spaced.",
        ),
    ] = None,
    window: Annotated[
        Any,
        typer.Option(
            metavar="LOW:HIGH",
            parser=_window,
            help="Values shown as black and white (of CT, in 1/length); by default nearly all that occur.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Another reconstruction of the same slices, shown beside, or a scan that has its truth (a "
            "simulated one) or a reference (of fastMRI), or the true picture.",
        ),
    ] = None,
    phase: Annotated[
        bool, typer.Option("--phase", help="Show the phase of MRI, in radians, rather than its magnitude.")
    ] = False,
    frame: Annotated[int, typer.Option(min=0, metavar="N", help="Which of several frames, from 0.")] = 0,
) -> None:
    """Show slices as a PNG picture, with a bar for the values and one for the size.

    Of samples of a posterior it is their mean, and their standard deviation beside it; of what was
    reconstructed with calibrated intervals, half of those. Of methods with a learned prior there is also a
    map of where the image is not as the prior expects (above one), and the p-value of the scan under
    operator, noise and prior, small where it does not fit.

    With --compare each row is one slice: this file, the other, and the truth, or reference, where the scan
    has one and is still in its place; the titles then have PSNR (dB) and SSIM, of MRI of the magnitude.
    """
    from invgen.pipeline.inputs import probe_inputs
    from invgen.pipeline.panels import draw_slices

    probe_inputs(reconstruction, compare)
    draw_slices(
        reconstruction, output, slices=slices, window=window, compare=compare, phase=phase, frame=frame
    )
    show(f"Wrote {output}.")
