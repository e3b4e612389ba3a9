"""``invgen compress`` and ``invgen decompress``: images in fewer bits, and back without loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invgen.cli.console import err, show

__all__ = ["compress", "decompress"]


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def compress(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="Images of 8 bits: a NPY, NPZ, HDF5 or IDX file, a picture, or a folder of pictures.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write, such as .ivg.")
    ],
    prior: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="A prior that comes with the package, or a file of one: an autoregressive one, a table of "
            "contexts, a variational autoencoder.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Array of the images, in files that hold several.")
    ] = None,
) -> None:
    """Compress images without loss, the better, the more plausible they are under a prior.

    Images of another size than the prior's are cut into tiles. To decompress takes as long, and gives the
    same images on every machine.
    """
    from invgen.pipeline.compression import compress_file

    with _bar("compressing") as advance:
        sizes = compress_file(images, output, prior, dataset=dataset, advance=advance)
    show(f"Wrote {output}: {sizes.length:,} bytes, {sizes.bits:.3f} bits for each pixel of {sizes.shape}.")


def decompress(
    compressed: Annotated[Path, typer.Argument(metavar="FILE", help="File that invgen compress wrote.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="A .npy file, a .png file of a single image, or a new folder of PNG files.",
        ),
    ],
    prior: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Needed where the prior does not come with the package."),
    ] = None,
) -> None:
    """Write the images of a compressed file, bit by bit as they were."""
    from invgen.pipeline.compression import decompress_file

    with _bar("decompressing") as advance:
        sizes = decompress_file(compressed, output, prior, advance=advance)
    show(f"Wrote {output}: {sizes.shape}.")
