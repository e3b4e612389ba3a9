"""``invgen view``: a picture of a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invgen.cli import options
from invgen.cli.console import out
from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.pipeline.outputs import open_reconstruction, refuse_to_overwrite

if TYPE_CHECKING:
    import torch

    from invgen.io import Reconstructed
    from invgen.pipeline.truth import Truth

_SHOWN = 8
Panel = tuple["torch.Tensor", str]


def view(
    reconstruction: Annotated[
        Path, typer.Argument(metavar="RECONSTRUCTION", help="File that invgen recon wrote.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="PNG file to write.")],
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help=f"Slices of the file, from 0, B left out; by default at most {_SHOWN}, evenly spread.",
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Values shown as black and white (of CT, in 1/length); by default nearly all that occur.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Another reconstruction of the same slices, shown beside, or a scan that has its truth (a "
            "simulated one) or a reference (of fastMRI).",
        ),
    ] = None,
    phase: Annotated[
        bool, typer.Option("--phase", help="Show the phase of MRI, in radians, rather than its magnitude.")
    ] = False,
) -> None:
    """Show slices as a PNG picture, with a bar for the values and one for the size.

    Of samples of a posterior it is their mean, and their standard deviation beside it.

    With --compare each row is one slice: this file, the other, and the truth, or reference, where the scan
    has one and is still in its place; the titles then tell PSNR (dB) and SSIM, of MRI of the magnitude.
    """
    from invgen import figures

    refuse_to_overwrite(output, reconstruction, *([compare] if compare else []))
    shown = _parse_window(window)
    selection = options.parse_slice(slices, "--slices")
    with open_reconstruction(reconstruction) as file:
        if phase and (compare is not None or not file.is_complex):
            raise ParameterError(
                "--phase shows the phase of an MRI reconstruction; leave out --compare."
                if file.is_complex
                else f"{reconstruction} holds real images, without a phase: leave out --phase."
            )
        indices: Sequence[int] = options.chosen(selection, len(file.volume), "slices")
        if slices is None and len(indices) > _SHOWN:
            indices = [round(i * (len(indices) - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]
        if compare is None:
            panels, columns = [(_image(file, i, phase), f"slice {_row(file, i)}") for i in indices], 4
        else:
            panels, columns = _compared(file, indices, compare)
        images, titles = [image for image, _ in panels], [title for _, title in panels]
        about: dict[str, Any] = {
            "pixel_size": file.pixel_size,
            "unit": file.unit,
            "window": shown,
            "label": _label(file, phase),
            "aspect": file.pixel_height / file.pixel_size,
        }
        stds = _stds(file, indices) if compare is None and not phase else None
        if stds is None:
            figure = figures.montage(images, titles, columns=columns, **about)
        else:
            figure = figures.uncertainty(images, stds, titles, **about)
    figures.save(figure, output)
    out.print(f"Wrote {output}.", highlight=False, soft_wrap=True)


def _compared(file: Reconstructed, indices: Sequence[int], path: Path) -> tuple[list[Panel], int]:
    """Lay out a row of panels for each slice; returned with their number in a row."""
    from invgen.pipeline.truth import Truth

    with ExitStack() as stack:
        other: Reconstructed | None = None
        truth: Truth | None = None
        try:
            other = stack.enter_context(open_reconstruction(path))
        except FileError:
            truth = stack.enter_context(Truth(path))
        else:
            with suppress(FileError):  # a real scan, or one that is no longer there
                truth = stack.enter_context(Truth(file.source))
        shape = file.volume.shape[1:]
        if truth is not None and truth.shape != shape:
            if other is None:
                remedy = (
                    "" if file.is_complex else f": reconstruct with --size {truth.shape[0]} to compare them"
                )
                raise ShapeError(
                    f"{path} has a {truth.label} of {tuple(truth.shape)} pixels, "
                    f"{file.volume.file.filename} images of {shape}{remedy}."
                )
            truth = None
        if other is not None and other.volume.shape[1:] != shape:
            raise ShapeError(
                f"{path} has images of {other.volume.shape[1:]} pixels, {file.volume.file.filename} "
                f"of {shape}; only images of one size can be compared."
            )
        files = [file] if other is None else [file, other]
        panels: list[Panel] = []
        for i in indices:
            row = _row(file, i)
            true = None if truth is None else truth[row]
            for each in files:
                image = _image(each, i if each is file else _index(each, row))
                panels.append((image, _title(each, row, image, true)))
            if truth is not None and true is not None:
                panels.append((true, f"{truth.label}\nslice {row}"))
        return panels, len(files) + (truth is not None)


def _title(file: Reconstructed, row: int, image: torch.Tensor, truth: torch.Tensor | None) -> str:
    from invgen import metrics

    name = f"{Path(file.volume.file.filename).stem}, slice {row}"
    if truth is None:
        return name
    return f"{name}\n{metrics.psnr(image, truth):.1f} dB, SSIM {metrics.ssim(image, truth):.3f}"


def _image(file: Reconstructed, index: int, phase: bool = False) -> torch.Tensor:
    """A real image: of a complex one, the modulus or the phase."""
    import torch

    image = torch.from_numpy(file.volume[index])
    if not file.is_complex:
        return image
    return image.angle() if phase else image.abs()


def _stds(file: Reconstructed, indices: Sequence[int]) -> list[torch.Tensor] | None:
    """Standard deviations of slices; None where there are no samples, or a single one."""
    import torch

    if file.posterior is None or file.posterior.std is None:
        return None
    return [torch.from_numpy(file.posterior.std[i]) for i in indices]


def _label(file: Reconstructed, phase: bool) -> str:
    if not file.is_complex:
        return f"attenuation (1/{file.unit})"
    return "phase (radians)" if phase else "magnitude"


def _row(file: Reconstructed, index: int) -> int:
    """Slice of the scan that a slice of the file was made of."""
    return file.settings["rows"][index]


def _index(file: Reconstructed, row: int) -> int:
    if row not in file.settings["rows"]:
        raise ParameterError(
            f"{file.volume.file.filename} has no slice {row} of the scan; choose others by --slices."
        )
    return file.settings["rows"].index(row)


def _parse_window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not LOW:HIGH, two numbers.", param_hint="--window") from None
    return low, high
