"""``invgen simulate``: raw scans of an object that is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from invgen.cli.console import Command, out
from invgen.cli.outputs import refuse_to_overwrite
from invgen.errors import FileError, ShapeError

if TYPE_CHECKING:
    import torch

    from invgen.simulate import Source

simulate = typer.Typer(
    name="simulate",
    no_args_is_help=True,
    help="Make the raw scan of an object that is known, to try methods on.",
    rich_markup_mode="markdown",
)


@simulate.callback()
def _simulate() -> None:
    """Keep ``ct`` a subcommand while it is the only one."""


@simulate.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Example: `invgen simulate ct foam -o scan.h5 --views 90 --photons 2e4`",
)
def ct(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The object: foam, shepp-logan, or an image file (PNG, TIFF, NPY, ...; brighter is denser).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="HDF5 file to write.")],
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Width of the true image, in pixels.")] = 512,
    views: Annotated[int, typer.Option(min=1, metavar="N", help="Number of projections.")] = 60,
    angular_range: Annotated[
        float,
        typer.Option("--range", metavar="DEGREES", help="Angle that the views are spread over, in degrees."),
    ] = 180.0,
    columns: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Detector columns; by default what shows the object."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Width of a pixel in mm; by default the file tells no size."),
    ] = None,
    center_offset: Annotated[
        float | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns from the middle of the detector to the rotation axis, to the right; "
            "by default size / 80, so that a reconstruction about the middle is visibly wrong.",
        ),
    ] = None,
    absorption: Annotated[
        float, typer.Option(metavar="X", help="Line integral -log(I / I0) of the densest ray (no unit).")
    ] = 2.0,
    photons: Annotated[
        float, typer.Option(metavar="N", help="Mean photons in the brightest pixel of the flats.")
    ] = 1e5,
    stripes: Annotated[
        float,
        typer.Option(metavar="X", help="Relative drift of pixels since the flats: rings. 0.01 is strong."),
    ] = 0.0,
    flats: Annotated[int, typer.Option(min=1, metavar="N", help="Frames without object.")] = 10,
    darks: Annotated[int, typer.Option(min=1, metavar="N", help="Frames without beam.")] = 10,
    slices: Annotated[int, typer.Option(min=1, metavar="N", help="Detector rows; the object fades.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Of noise and foam.")] = 0,
) -> None:
    """Simulate a raw parallel-beam CT scan: 16-bit counts with Poisson noise, flat and dark fields, angles.

    The object is projected exactly, or on a grid finer than any reconstruction's. It is stored beside as
    `/truth/image`, on the grid of `invgen recon --size SIZE`.
    """
    from invgen.simulate import simulate_ct

    refuse_to_overwrite(output, Path(source))
    simulate_ct(
        output,
        cast("Source", source) if source in ("foam", "shepp-logan") else _read_image(Path(source)),
        size=size,
        views=views,
        angular_range=math.radians(angular_range),
        detector_count=columns,
        pixel_size=pixel_size,
        absorption=absorption,
        photons=photons,
        center_offset=center_offset,
        stripes=stripes,
        flats=flats,
        darks=darks,
        slices=slices,
        seed=seed,
    )
    out.print(
        f"Wrote {output}: {views} views over {angular_range:g} degrees, slices: {slices}, "
        f"truth of {size} x {size} pixels.",
        highlight=False,
        soft_wrap=True,
    )


def _read_image(path: Path) -> torch.Tensor:
    """Read a grey image as a tensor; of a color image, the luminance."""
    import numpy as np
    import torch
    from PIL import Image

    from invgen.files import check_regular

    if not path.exists():
        raise FileError(
            f"The source of a scan is foam, shepp-logan or an image file; there is no file {path}."
        )
    check_regular(path)
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as image:
                values = np.asarray(image if image.mode in ("L", "F", "I", "I;16") else image.convert("L"))
    except Exception as error:  # what the parsers of many formats run into
        raise FileError(f"{path} cannot be read as an image: {error}") from error
    if values.dtype.kind not in "buif":
        raise ShapeError(f"{path} should hold real numbers; it holds {values.dtype}.")
    return torch.from_numpy(values.astype(np.float64))
