"""``invgen demo``: a scan is simulated and reconstructed, by the code that any user's file goes through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from invgen.cli.console import note, out, show
from invgen.cli.recon import with_progress

__all__ = ["demo"]


def demo(
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the files; made if it is not there.")
    ] = Path("demo"),
    mri: Annotated[bool, typer.Option("--mri", help="An MRI scan, rather than CT.")] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=32, metavar="N", help="Width and height of the image, in pixels: by default 512, of MRI 256."
        ),
    ] = None,
) -> None:
    """Simulate a scan of few data, reconstruct it by several methods, and show all beside the truth.

    CT: few views, by FBP and by TV. The scan is raw: counts, flat and dark fields, and an off-centre rotation
    axis. MRI: a third of k-space by eight coils, zero-filled, by CG-SENSE and by TV. The scan is raw: readout
    oversampling, coupled noise, and unknown coil sensitivities. About half a minute on two cores.
    """
    from invgen.pipeline.demonstration import demonstrate

    made = demonstrate(output_dir, with_progress, note, mri=mri, size=size)
    table = Table("method", title=f"{made.about}, {made.shape[0]} x {made.shape[1]} pixels")
    for column in ("PSNR (dB)", "SSIM", "seconds"):
        table.add_column(column, justify="right")
    for name, score in made.scores.items():
        table.add_row(name, f"{score.psnr:.1f}", f"{score.ssim:.3f}", f"{score.seconds:.1f}")
    out.print(table)
    *others, best = (str(score.path) for score in made.scores.values())
    listed = f"{', '.join(others)} and {best}"
    out.print()
    show(f"The picture is {made.picture}, the reconstructions are {listed}.")
    show("The same, step by step:")
    for command in made.commands:
        show(f"  {command}")
