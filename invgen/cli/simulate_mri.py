"""``invgen simulate mri``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from invgen.cli.console import show
from invgen.pipeline.outputs import check_output

if TYPE_CHECKING:
    from invgen.simulate import MRISource

__all__ = ["mri"]


class Sampling(StrEnum):
    """Ways through k-space."""

    equispaced = "equispaced"
    random = "random"
    gaussian = "gaussian"
    radial = "radial"
    spiral = "spiral"


def mri(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The object: head, shepp-logan, or an image file (PNG, TIFF, NPY, ...).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="HDF5 file to write.")],
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Width of the image, in pixels.")] = 256,
    coils: Annotated[int, typer.Option(min=1, metavar="N", help="Receiver coils around the object.")] = 8,
    sampling: Annotated[
        Sampling,
        typer.Option(
            help="Lines: equispaced, random, or gaussian, denser in the middle. radial: spokes by the golden "
            "angle. spiral: interleaved spirals, denser in the middle."
        ),
    ] = Sampling.equispaced,
    acceleration: Annotated[
        float,
        typer.Option(
            min=1, metavar="R", help="By how much fewer lines, spokes or spirals than a full scan has."
        ),
    ] = 4,
    calibration: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Lines in the middle of k-space that are all measured."),
    ] = 24,
    partial_fourier: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=1,
            metavar="F",
            help="Part of k-space that is measured, such as 0.625: the lowest frequencies are left out.",
        ),
    ] = 1,
    noise: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="X",
            help="Standard deviation in a fully sampled coil image, relative to the largest signal.",
        ),
    ] = 0.005,
    noise_scan: Annotated[
        bool,
        typer.Option(
            "--noise-scan/--no-noise-scan",
            help="Measure the noise alone, too, from which its level and coupling are found.",
        ),
    ] = True,
    slices: Annotated[
        int, typer.Option(min=1, metavar="N", help="Slices through the object, smaller towards its ends.")
    ] = 1,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Side of a pixel; by default the field of view is 240 mm wide."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of noise, phases, random lines and the head.")] = 0,
) -> None:
    """Simulate a raw MRI scan of several coils: ISMRMRD, with readout oversampling and coupled noise.

    The signal of an object of ellipses is computed exactly, coil sensitivities included; an image is scanned
    on a grid finer than any reconstruction's. The truth is stored beside as `/truth/image`, complex, and the
    sensitivities as `/truth/coils`.
    """
    import h5py

    from invgen.pipeline.sources import read_image
    from invgen.simulate import simulate_mri

    check_output(output, source)
    named = source in ("head", "shepp-logan")
    simulate_mri(
        output,
        cast("MRISource", source) if named else read_image(Path(source), "head, shepp-logan"),
        size=size,
        coils=coils,
        sampling=sampling.value,
        acceleration=acceleration,
        calibration=calibration,
        partial_fourier=partial_fourier,
        noise=noise,
        noise_scan=noise_scan,
        slices=slices,
        pixel_size=pixel_size,
        seed=seed,
    )
    with h5py.File(output) as file:
        readouts = len(file["dataset/data"])
    show(
        f"Wrote {output}: {readouts} readouts of {coils} coils, {sampling}; truth: {slices} x {size} x "
        f"{size}.",
    )
