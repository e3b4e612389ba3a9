"""``invgen recon``: from a scan to images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invgen.cli import options
from invgen.cli.console import err, out
from invgen.pipeline.posterior import SAMPLERS, SPECTRAL
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import SOLVERS, Recipe
from invgen.pipeline.run import Summary, reconstruct
from invgen.pipeline.work import Advance

_DATA = "Data"
_CT = "Data of CT scans"
_MRI = "Data of MRI scans"
_METHOD = "Method"
_POSTERIOR = "Samples of the posterior"


class Maps(StrEnum):
    """Ways to estimate coil sensitivities."""

    espirit = "espirit"
    adaptive = "adaptive"


class Window(StrEnum):
    """Windows on the ramp filter."""

    ram_lak = "ram-lak"
    shepp_logan = "shepp-logan"
    cosine = "cosine"
    hamming = "hamming"
    hann = "hann"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def recon(
    context: typer.Context,
    scan: options.ScanFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="HDF5 file to write.")],
    solver: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="CT: fbp, filtered backprojection, the default and the fastest (of a cone beam, FDK); tv, "
            "total variation, for few or noisy views of objects with sharp edges; cg, least squares by "
            "conjugate gradients, stopped at the noise; sirt, least squares by simultaneous iteration; "
            "ossart, the same by subsets of the views, in fewer passes. MRI: rss, root sum of squares of the "
            "coils' images; zero-filled, the same combined by coil maps; cg-sense, least squares with coil "
            "maps, the default; tv, total variation, for few or noisy samples. Without a grid, rss and "
            "zero-filled weigh the samples by their density. Both, with --prior: samples of the posterior by "
            f"{', '.join(SAMPLERS)} ({' and '.join(SPECTRAL)}: MRI of one coil on a grid).",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="Slices (of CT: detector rows), from 0, B left out. Of a cone beam or a slab of MRI all are "
            "reconstructed, at once, and these are kept.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="A:B:STEP",
            help="Views to use, counted by increasing angle: ::4 is every fourth.",
            rich_help_panel=_CT,
        ),
    ] = None,
    angles_range: Annotated[
        str | None,
        typer.Option(
            "--angles-range",
            metavar="A:B",
            help="Views to use, by their angle in degrees as the file counts, B left out; 350:20 wraps past "
            "360. --views then counts within.",
            rich_help_panel=_CT,
        ),
    ] = None,
    center: Annotated[
        str,
        typer.Option(
            metavar="auto|COLUMN",
            help="Detector column, from 0 and before binning, to which the rotation axis projects.",
            rich_help_panel=_CT,
        ),
    ] = "auto",
    bin: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Detector columns to average into one; of a cone beam, rows too.",
            rich_help_panel=_CT,
        ),
    ] = 1,
    remove_stripes: Annotated[
        bool,
        typer.Option(
            "--remove-stripes",
            help="Smooth stripes of the sinogram, which are rings in the image; fine structure suffers.",
            rich_help_panel=_CT,
        ),
    ] = False,
    repetition: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Which one, from 0, of what was measured of each slice: see invgen info.",
            rich_help_panel=_MRI,
        ),
    ] = 0,
    maps: Annotated[
        Maps | None,
        typer.Option(
            metavar="NAME",
            help="Coil maps: espirit, from the calibrated middle of k-space, the default; or adaptive, from "
            "images of low resolution.",
            rich_help_panel=_MRI,
        ),
    ] = None,
    compress: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Combine the coils into so many virtual ones.", rich_help_panel=_MRI
        ),
    ] = None,
    whiten: Annotated[
        bool,
        typer.Option(
            "--whiten/--no-whiten",
            help="Decorrelate the coils' noise, where the scan has a noise scan.",
            rich_help_panel=_MRI,
        ),
    ] = True,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Width and height of the image in pixels, as wide as a (binned) detector column at the "
            "rotation axis; by default as many as there are columns, or what the file says.",
            rich_help_panel=_CT,
        ),
    ] = None,
    window: Annotated[
        Window | None,
        typer.Option(
            metavar="NAME",
            help="fbp: window on the ramp filter, from sharp to smooth: ram-lak, shepp-logan, cosine, "
            "hamming, hann (the default).",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    weight: Annotated[
        str,
        typer.Option(
            metavar="auto|NUMBER",
            help="tv: weight of the total variation; auto lets the misfit equal the noise, on the middle "
            "slice, and keeps the weight for all. cg, cg-sense: Tikhonov weight; auto stops at the noise "
            "instead.",
            rich_help_panel=_METHOD,
        ),
    ] = "auto",
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="tv, cg, sirt, ossart: at most so many. cg-sense: so many; by default it stops at the "
            "noise, after 10 to 30. Samplers: noise levels, or steps.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    nonnegative: Annotated[
        bool | None,
        typer.Option(
            "--nonnegative/--no-nonnegative",
            help="CT with tv, sirt, ossart: allow no negative attenuation; the default.",
            show_default=False,
            rich_help_panel=_METHOD,
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="What images look like: a prior that comes with the package, or a file (see invgen train); "
            "of real images for CT, of complex ones for MRI. Of a volume it is one of each slice.",
            rich_help_panel=_POSTERIOR,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many samples of each slice: by default 8.",
            rich_help_panel=_POSTERIOR,
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="auto|NUMBER",
            help="The value of the image that is white to the prior; auto finds it by a rough reconstruction "
            "of the middle slice, and keeps it for all.",
            rich_help_panel=_POSTERIOR,
        ),
    ] = "auto",
    device: Annotated[
        Device, typer.Option(help="Where to compute; auto takes a GPU where there is one.")
    ] = Device.auto,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Of random numbers, which samplers draw: sample i of each slice follows from seed + i (of "
            "twisted-smc, all of them from seed together).",
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
    dataset: options.Dataset = None,
    axes: options.Axes = None,
    format: options.FileFormat = None,
    angles: options.Angles = None,
    angle_unit: options.Unit = None,
    flats: options.Flats = None,
    darks: options.Darks = None,
    quantity: options.What = None,
    rotation: options.Turn = None,
    trajectory: options.Trajectory = None,
    trajectory_unit: options.UnitOfTrajectory = None,
    field_of_view: options.FieldOfView = None,
    matrix: options.Matrix = None,
    mask: options.Mask = None,
    remove_oversampling: options.Oversampled = None,
) -> None:
    """Reconstruct the slices of a scan, CT or MRI, into an HDF5 file.

    CT: raw counts become line integrals (bad frames, dead pixels, flat and dark fields, zingers, logarithm),
    the centre of rotation is found, and each slice is reconstructed with the noise of each ray in mind.
    The beam, parallel, fan or cone, is the one that the file tells; of a cone beam the whole volume is
    reconstructed at once, in memory. The image is in 1/length, in the unit that the scan states, or 1/pixel.

    MRI: readout oversampling is removed, the coils' noise decorrelated, coil maps are estimated from the
    middle of k-space, and each slice (or slab, in 3D) becomes a complex image. Its modulus has the values of
    a root-sum-of-squares image of the coils.

    Solvers with a prior draw samples of what the object may be, given the data. The image is then their
    mean; beside it are their standard deviation, quantiles (of MRI those of the modulus), and all of them.

    The output appears under its name when it is complete. It holds `/reconstruction`,
    axes (slice, y, x), what was done to each slice, and the command that makes it again:
    see `invgen info`.
    """
    reading = Reading.of(context)
    recipe = Recipe(
        solver=options.parse_choice(solver, SOLVERS["CT"] | SOLVERS["MRI"], "--solver"),
        slices=slices,
        views=views,
        angles_range=angles_range,
        center=options.parse_number(center, "--center"),
        bin=bin,
        size=size,
        remove_stripes=remove_stripes,
        repetition=repetition,
        maps=None if maps is None else maps.value,
        compress=compress,
        whiten=whiten,
        weight=options.parse_number(weight, "--weight"),
        iterations=iterations,
        window=None if window is None else window.value,
        nonnegative=nonnegative,
        prior=prior,
        samples=samples,
        scale=options.parse_number(scale, "--scale"),
        device=device.value,
        seed=seed,
    )
    options.parse_slice(slices, "--slices"), options.parse_slice(views, "--views")
    options.parse_degrees(angles_range, "--angles-range")
    summary = run(scan, output, reading, recipe, quiet=quiet)
    if not quiet:
        _tell(summary, output)


def run(scan: Path, output: Path, reading: Reading, recipe: Recipe, *, quiet: bool = False) -> Summary:
    """Open a scan and reconstruct it, with a progress bar."""
    notice = (lambda text: None) if quiet else (lambda text: err.print(text, highlight=False))
    with reading.open(scan) as opened, _progress(recipe.solver or "recon", quiet) as advance:
        return reconstruct(opened, scan, output, reading, recipe, notice, advance)


@contextmanager
def _progress(solver: str, quiet: bool) -> Iterator[Advance]:
    columns = (TextColumn(solver.upper()), BarColumn(), MofNCompleteColumn(), TextColumn("slices"))
    with Progress(
        *columns, TimeRemainingColumn(), console=err, disable=quiet or not err.is_terminal, transient=True
    ) as bar:
        task = bar.add_task(solver, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(summary: Summary, output: Path) -> None:
    recipe, solver = summary.recipe, type(summary.solver).__name__
    rows, (height, width) = summary.rows, summary.image_shape
    lines = {
        "slices": f"{len(rows)} ({rows[0]} to {rows[-1]}), {height} x {width} pixels",
        **summary.statistics,
        "solver": f"{recipe.solver} ({solver})",
        "iterations": _iterations(summary),
        "weight": "" if recipe.weight is None else f"{recipe.weight:.4g}",
        "prior": recipe.prior or "",
        "samples": "" if recipe.samples is None else f"{recipe.samples} of each slice, seed {recipe.seed}",
        "scale": "" if recipe.scale is None else f"{recipe.scale:.4g}",
        "device": recipe.device,
        "time": f"{summary.seconds:.1f} s, {summary.seconds / len(rows):.2f} s a slice",
        "output": str(output),
    }
    for name, value in lines.items():
        if value:
            out.print(f"{name:>10}  {value}", highlight=False, markup=False, soft_wrap=True)


def _iterations(summary: Summary) -> str:
    if summary.solver.iterations == 1:
        return ""
    return f"{summary.iterations}{'' if summary.recipe.samples else ', the most of a slice'}"
