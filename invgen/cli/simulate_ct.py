"""``invgen simulate ct``."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from invgen.cli.console import show
from invgen.pipeline.outputs import check_output

if TYPE_CHECKING:
    from invgen.simulate import Source

__all__ = ["ct"]

_DIVERGENT = "Fan and cone beam"


class Geometry(StrEnum):
    """Shapes of the beam."""

    parallel = "parallel"
    fan = "fan"
    cone = "cone"


def ct(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The object: foam, shepp-logan, random (by --seed; for a parallel beam), or an image file "
            "(PNG, TIFF, NPY, ...; brighter is denser; not for a cone beam).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="HDF5 file to write.")],
    geometry: Annotated[
        Geometry,
        typer.Option(help="The beam: parallel, or from a point source to a row of pixels or to a camera."),
    ] = Geometry.parallel,
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Width of the true image, in pixels.")] = 512,
    views: Annotated[int, typer.Option(min=1, metavar="N", help="Number of projections.")] = 60,
    angular_range: Annotated[
        float | None,
        typer.Option(
            "--range",
            metavar="DEGREES",
            help="Angle that the views cover, in degrees; by default 180, fan and cone 360.",
        ),
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Detector columns; by default what shows the object."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Width of a pixel of the image in mm, and of a detector pixel as projected to the rotation "
            "axis; by default the file states no size.",
        ),
    ] = None,
    source_origin: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="From the source to the rotation axis in mm, or in image pixels without --pixel-size; by "
            "default four times the image's width.",
            rich_help_panel=_DIVERGENT,
        ),
    ] = None,
    source_detector: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Likewise, from the source to the detector; by default 1.5 times that (the magnification).",
            rich_help_panel=_DIVERGENT,
        ),
    ] = None,
    curved: Annotated[
        bool,
        typer.Option(
            "--curved",
            help="The detector of a fan beam is an arc around the source.",
            rich_help_panel=_DIVERGENT,
        ),
    ] = False,
    center_offset: Annotated[
        float | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns from the middle of the detector to where the rotation axis projects, to the right; "
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
    slices: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Slices: detector rows along which the object fades, by default 1; of a cone beam, slices "
            "of the true volume, by default a quarter of the size.",
        ),
    ] = None,
    sparse: Annotated[
        bool,
        typer.Option(
            "--sparse",
            help="Measure eight slices, which all others repeat without taking space; not of a cone beam.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of noise, foam and random objects.")] = 0,
) -> None:
    """Simulate a raw CT scan: 16-bit counts with Poisson noise, flat and dark fields, angles, distances.

    The object is projected exactly, or on a grid finer than any reconstruction's. It is stored beside as
    `/truth/image`, on the grid of `invgen recon --size SIZE`.
    """
    import h5py

    from invgen.pipeline.sources import read_image
    from invgen.simulate import simulate_ct

    check_output(output, source)
    simulate_ct(
        output,
        cast("Source", source)
        if source in ("foam", "random", "shepp-logan")
        else read_image(Path(source), "foam, random, shepp-logan"),
        geometry=geometry.value,
        size=size,
        views=views,
        angular_range=None if angular_range is None else math.radians(angular_range),
        detector_count=columns,
        pixel_size=pixel_size,
        source_origin=source_origin,
        source_detector=source_detector,
        curved=curved,
        absorption=absorption,
        photons=photons,
        center_offset=center_offset,
        stripes=stripes,
        flats=flats,
        darks=darks,
        slices=slices,
        sparse=sparse,
        seed=seed,
    )
    with h5py.File(output) as file:
        depth, height, width = file["truth/image"].shape
        _, rows, columns = file["exchange/data"].shape
    show(
        f"Wrote {output}: {views} views of {rows} x {columns} pixels, {geometry} beam; truth: {depth} x "
        f"{height} x {width}.",
    )
