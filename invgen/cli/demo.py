"""``invgen demo``: a scan is made and reconstructed, by the code that any user's file goes through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from invgen.cli.console import err, out
from invgen.cli.reading import Reading
from invgen.cli.recipe import Recipe, command_line
from invgen.errors import FileError

if TYPE_CHECKING:
    import torch

_VIEWS = 60


def demo(
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the files; made if it is not there.")
    ] = Path("demo"),
    size: Annotated[
        int, typer.Option(min=32, metavar="N", help="Width and height of the image, in pixels.")
    ] = 512,
) -> None:
    """Make a CT scan of few views, reconstruct it by FBP and by TV, and show both beside the truth.

    The scan is raw: counts, flat and dark fields, and a rotation axis that is not in the middle. About half
    a minute on two cores.
    """
    from invgen.cli import recon
    from invgen.simulate import simulate_ct

    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{output_dir} cannot be made: {error.strerror or error}.") from error
    scan, picture = output_dir / "scan.h5", output_dir / "demo.png"
    err.print(f"Simulating a raw scan of {_VIEWS} views ...", highlight=False)
    simulate_ct(scan, "foam", size=size, views=_VIEWS)
    commands = [f"invgen simulate ct foam -o {scan} --size {size} --views {_VIEWS}"]

    seconds = {}
    for solver in ("fbp", "tv"):
        output, recipe = output_dir / f"{solver}.h5", Recipe(solver=solver, size=size)
        seconds[solver] = recon.run(scan, output, Reading(), recipe).seconds
        commands.append(command_line(scan, output, Reading(), recipe))
    _picture(scan, {solver: output_dir / f"{solver}.h5" for solver in seconds}, seconds, picture)
    commands.append(f"invgen view {output} -o {output_dir / 'view.png'} --compare {output_dir / 'fbp.h5'}")

    out.print(f"\nThe picture is {picture}, the reconstructions are {output_dir / 'fbp.h5'} and {output}.")
    out.print("The same, step by step:")
    for command in commands:
        out.print(f"  {command}", highlight=False, soft_wrap=True)


def _picture(scan: Path, files: dict[str, Path], seconds: dict[str, float], picture: Path) -> None:
    """Print the table, and draw the sinogram, the reconstructions and the truth."""
    import torch

    from invgen import figures, metrics
    from invgen.cli.truth import Truth
    from invgen.io import read_reconstruction

    with Truth(scan) as truths:
        truth = truths[0]
    table = Table("method", title=f"{_VIEWS} views, {truth.shape[0]} x {truth.shape[1]} pixels")
    for column in ("PSNR (dB)", "SSIM", "seconds"):
        table.add_column(column, justify="right")
    images: dict[str, torch.Tensor] = {}
    for solver, path in files.items():
        with read_reconstruction(path) as file:
            image, center = torch.from_numpy(file.volume[0]), file.center
        images[solver.upper()] = image
        psnr, ssim = metrics.psnr(image, truth), metrics.ssim(image, truth)
        table.add_row(solver.upper(), f"{psnr:.1f}", f"{ssim:.3f}", f"{seconds[solver]:.1f}")
    out.print(table)
    with Reading().open(scan) as opened:
        measured = opened.line_integrals(0, center=center)
    figure = figures.comparison(
        measured.data,
        images,
        truth,
        angles=measured.angles,
        detector_offset=((measured.columns - 1) / 2 - center) * measured.spacing,
        pixel_size=measured.spacing,
    )
    figures.save(figure, picture)
