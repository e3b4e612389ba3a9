"""``invgen demo``: a scan is made and reconstructed, by the code that any user's file goes through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from invgen.cli.console import err, out
from invgen.core.errors import FileError
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe, command_line

if TYPE_CHECKING:
    import torch

_VIEWS = 60
_COILS, _ACCELERATION = 8, 4


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
    """Make a scan of few data, reconstruct it by several methods, and show all beside the truth.

    CT: few views, by FBP and by TV. The scan is raw: counts, flat and dark fields, and a rotation axis that
    is not in the middle. MRI: a third of k-space by eight coils, zero-filled, by CG-SENSE and by TV. The scan
    is raw: readout oversampling, coupled noise, and coil sensitivities to be found. About half a minute on
    two cores.
    """
    from invgen.cli import recon
    from invgen.simulate import simulate_ct, simulate_mri

    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{output_dir} cannot be made: {error.strerror or error}.") from error
    scan, picture = output_dir / "scan.h5", output_dir / "demo.png"
    if mri:
        size = size or 256
        about = f"{_COILS} coils, {_ACCELERATION}-fold accelerated"
        err.print(f"Simulating a raw MRI scan, {about} ...", highlight=False)
        simulate_mri(scan, "head", size=size, coils=_COILS, acceleration=_ACCELERATION)
        words = f"mri head -o {scan} --size {size} --coils {_COILS} --acceleration {_ACCELERATION}"
        recipes = [Recipe(solver=solver) for solver in ("zero-filled", "cg-sense", "tv")]
    else:
        size = size or 512
        about = f"{_VIEWS} views"
        err.print(f"Simulating a raw CT scan of {about} ...", highlight=False)
        simulate_ct(scan, "foam", size=size, views=_VIEWS)
        words = f"ct foam -o {scan} --size {size} --views {_VIEWS}"
        recipes = [Recipe(solver=solver, size=size) for solver in ("fbp", "tv")]

    commands = [f"invgen simulate {words}"]
    files, seconds = {}, {}
    for recipe in recipes:
        output = output_dir / f"{recipe.solver}.h5"
        name = output.stem.upper()
        files[name], seconds[name] = output, recon.run(scan, output, Reading(), recipe).seconds
        commands.append(command_line(scan, output, Reading(), recipe))
    *others, best = files.values()
    commands.append(f"invgen view {best} -o {output_dir / 'view.png'} --compare {others[-1]}")
    (_mri_picture if mri else _ct_picture)(scan, files, _scored(scan, files, seconds, about), picture)

    listed = ", ".join(map(str, others))
    out.print(f"\nThe picture is {picture}, the reconstructions are {listed} and {best}.", soft_wrap=True)
    out.print("The same, step by step:")
    for command in commands:
        out.print(f"  {command}", highlight=False, soft_wrap=True)


def _scored(scan: Path, files: dict[str, Path], seconds: dict[str, float], about: str) -> torch.Tensor:
    """Print how near the reconstructions are to the truth, which is returned."""
    from invgen import metrics
    from invgen.pipeline.truth import Truth

    with Truth(scan) as truths:
        truth = truths[0]
    table = Table("method", title=f"{about}, {truth.shape[0]} x {truth.shape[1]} pixels")
    for column in ("PSNR (dB)", "SSIM", "seconds"):
        table.add_column(column, justify="right")
    for name, path in files.items():
        image = _image(path)
        psnr, ssim = metrics.psnr(image, truth), metrics.ssim(image, truth)
        table.add_row(name, f"{psnr:.1f}", f"{ssim:.3f}", f"{seconds[name]:.1f}")
    out.print(table)
    return truth


def _image(path: Path) -> torch.Tensor:
    """The first slice, of MRI its modulus."""
    import torch

    from invgen.io import read_reconstruction

    with read_reconstruction(path) as file:
        image = torch.from_numpy(file.volume[0])
    return image.abs() if image.is_complex() else image


def _ct_picture(scan: Path, files: dict[str, Path], truth: torch.Tensor, picture: Path) -> None:
    """Draw the sinogram, the reconstructions and the truth."""
    from invgen import figures
    from invgen.io import Scan, open_scan, read_reconstruction

    with read_reconstruction(next(iter(files.values()))) as file:
        center = file.center
    with open_scan(scan) as opened:
        assert isinstance(opened, Scan), "as simulated"
        assert center is not None, "as reconstructed"
        measured = opened.line_integrals(0, center=center)
    figure = figures.comparison(
        measured.data,
        {name: _image(path) for name, path in files.items()},
        truth,
        angles=measured.angles,
        detector_offset=((measured.columns - 1) / 2 - center) * measured.spacing,
        pixel_size=measured.spacing,
    )
    figures.save(figure, picture)


def _mri_picture(scan: Path, files: dict[str, Path], truth: torch.Tensor, picture: Path) -> None:
    """Draw the sampling mask, the reconstructions, the truth and the errors."""
    from invgen import figures
    from invgen.io import MRIScan, open_scan

    with open_scan(scan) as opened:
        assert isinstance(opened, MRIScan), "as simulated"
        kspace, pixel_size, unit = opened.kspace(), opened.pixel_size[-1], opened.unit
    assert kspace.mask is not None, "as simulated"
    figure = figures.error_maps(
        kspace.mask.expand(kspace.image_shape),
        {name: _image(path) for name, path in files.items()},
        truth,
        pixel_size=pixel_size,
        unit=unit,
        label="magnitude",
    )
    figures.save(figure, picture)
