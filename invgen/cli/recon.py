"""``invgen recon``: from a scan, or a measured image, to images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from invgen.cli.console import Command, err, note, out, show
from invgen.cli.options import DaskAddress, ScanFile, typed
from invgen.pipeline import Reading, Recipe, Summary
from invgen.pipeline.run import SECONDS, run
from invgen.pipeline.values import Settings

__all__ = ["Recon", "recon", "with_progress"]


class Recon(Command):
    """The command, whose help ends with the table of methods: that takes as long as loading them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show help."""
        super().format_help(ctx, formatter)
        out.print(_methods())


@typed(Recipe, Reading)
def recon(
    scan: ScanFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: HDF5, NIfTI, DICOM, TIFF or NPY; of images also PNG.",
        ),
    ],
    recipe: Recipe,
    reading: Reading,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes of one thread to compute slices in, by dask."),
    ] = None,
    dask: DaskAddress = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the same command that was stopped or killed, or has met a full disk or a lost "
            "cluster; the file is that of an undisturbed run. Where nothing is kept it begins anew.",
        ),
    ] = False,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How often the state of slices is kept that take long to iterate or sample; at most a "
            "twentieth of the time is spent on that.",
        ),
    ] = SECONDS,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
) -> None:
    """Reconstruct the slices of a scan, CT or MRI, or restore images, into a file.

    CT: raw counts become line integrals (bad frames, dead pixels, flat and dark fields, zingers, logarithm),
    the centre of rotation is found, and each slice is reconstructed with the noise of each ray in mind.
    The beam, parallel, fan or cone, is the one that the file states; of a cone beam the whole volume is
    reconstructed at once: in memory, or, by fbp, sirt, ossart and tv, slab by slab from files beside the
    output where it does not fit (--max-memory). The image is in 1/length, in the unit that the scan states,
    or 1/pixel.

    MRI: readout oversampling is removed, the coils' noise decorrelated, coil maps are estimated from the
    middle of k-space, and each slice (or slab, in 3D) becomes a complex image. Its modulus has the values of
    a root-sum-of-squares image of the coils.

    Images: with --operator the input is a measured picture, a folder of them or an array, with values from 0
    to 1, in gray or color. The output is the image that was measured; PNG files hold one, clipped to 0 to 1.

    Samplers draw what the object may be, given the data. The image is then their
    mean; beside it are their standard deviation, quantiles (of MRI those of the modulus), and all of them.

    With a learned prior, slices are compared with scans that fit operator, noise and prior (--calibration),
    and a warning says which do not. p-values and maps of all are in `/plausibility`: see invgen view.

    Intervals that cover new images at a level, whatever the method, are those of a file of invgen calibrate
    (--calibration): their ends are in `/intervals`, and problems of another kind have none.

    The output appears under its name when it is complete. What is done until then is kept beside it, in
    `.NAME.progress`, for --resume; Ctrl-C and SIGTERM stop at the next slice or iteration, a second Ctrl-C at
    once. In HDF5 it holds `/reconstruction`,
    axes (slice, y, x), what was done to each slice, and the command that makes it again:
    see `invgen info`.
    """
    from invgen.pipeline.connection import connected
    from invgen.pipeline.inputs import probe_inputs

    probe_inputs(scan, reading, recipe)
    with connected(dask, workers) as executor:
        summary = with_progress(
            scan,
            output,
            reading,
            recipe,
            quiet=quiet,
            executor=executor,
            resume=resume,
            checkpoint_every=checkpoint_every,
        )
    if not quiet:
        _show(summary)


def with_progress(
    scan: Path, output: Path, reading: Reading, recipe: Recipe, *, quiet: bool = False, **how: Any
) -> Summary:
    """Reconstruct a scan, with a progress bar and notices; `how` as of `invgen.pipeline.run.run`."""

    def notice(text: str) -> None:
        if not quiet:
            note(text)

    with _progress(recipe.solver or "recon", quiet) as advance:
        return run(scan, output, reading, recipe, notice, advance, **how)


@contextmanager
def _progress(solver: str, quiet: bool) -> Iterator[Callable[[float, int], None]]:
    columns = (TextColumn(solver.upper()), BarColumn(), MofNCompleteColumn(), TextColumn("slices"))
    with Progress(
        *columns, TimeRemainingColumn(), console=err, disable=quiet or not err.is_terminal, transient=True
    ) as bar:
        task = bar.add_task(solver, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(summary: Summary) -> None:
    """Print what was done."""
    recipe, slices, found = summary.recipe, summary.slices, summary.statistics
    frames = summary.frames
    count = len(slices) * (1 if frames is None else len(frames))
    *channels, height, width = summary.image_shape
    each = "image" if "operator" in found else "slice"
    maps = f", maps by {found['maps']}" if found.get("maps") else ""
    most = "" if recipe.samples else f", the most of {'an' if each == 'image' else 'a'} {each}"
    color = " in color" if channels else ""
    lines = {
        f"{each}s": f"{len(slices)} ({slices[0]} to {slices[-1]}), {height} x {width} pixels{color}",
        "frames": "" if frames is None else f"{len(frames)} ({frames[0]} to {frames[-1]})",
        "centre": f"column {found['center']:.2f}" if "center" in found else "",
        "coils": f"{found['coils']}{maps}" if "coils" in found else "",
        "operator": found.get("operator", ""),
        "noise": f"{found['noise_std']:.4g}" if "noise_std" in found else "",
        "solver": f"{recipe.solver} ({type(summary.solver).__name__})",
        "iterations": "" if summary.solver.iterations == 1 else f"{summary.iterations}{most}",
        "settings": ", ".join(Settings().texts(recipe.settings)),
        "weight": "" if recipe.weight is None else f"{recipe.weight:.4g}",
        "prior": recipe.prior or "",
        "samples": "" if recipe.samples is None else f"{recipe.samples} of each {each}, seed {recipe.seed}",
        "scale": "" if recipe.scale is None else f"{recipe.scale:.4g}",
        "device": recipe.device,
        "time": f"{summary.seconds:.1f} s, {summary.seconds / count:.2f} s "
        f"{'an' if each == 'image' else 'a'} {each}",
        "fit": _fit(summary),
        "PSNR": f"{found['psnr']:.2f} dB" if "psnr" in found else "",
        "output": str(summary.path),
    }
    for name, value in lines.items():
        if value:
            show(f"{name:>10}  {value}")


def _fit(summary: Summary) -> str:
    """How plausible the slices are; a warning says which are not."""
    found = summary.plausibility
    if found is None or not found.p_values:
        return ""
    name = "scan" if "scan" in found.p_values else "bound"
    known = found.p_values[name][~found.p_values[name].isnan()]
    least = f"least p-value {known.min():.2g}" if len(known) > 1 else f"p = {float(known[0]):.2g}"
    conservative = "" if name == "scan" else ", of operator and noise alone, and conservative"
    return f"{least}{conservative}"


def _methods() -> Panel:
    """The table of methods: their names, for what they are, and what they do."""
    from invgen.pipeline.recipe import methods_of

    rows = Table.grid(padding=(0, 2))
    kinds = {"CT": methods_of("CT"), "MRI": methods_of("MRI"), "images": methods_of("images")}
    for name, method in methods_of("CT", "MRI", "images").items():
        uses = " ".join(kind for kind, methods in kinds.items() if name in methods)
        single = "; MRI of one coil on a grid" if method.operator == "singular vectors" else ""
        rows.add_row(Text(name, "bold cyan"), uses, method.about + single)
    note = "\nFrom pnp-hqs on they need --prior, and from dds on they draw samples of the posterior."
    return Panel(Group(rows, Text(note, "dim")), title="Solvers", title_align="left", border_style="dim")
