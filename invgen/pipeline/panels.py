"""Pictures of reconstructions: which slices, beside what, and their titles."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch

from invgen import figures, metrics
from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.io import Reconstructed
from invgen.pipeline.outputs import check_output, open_reconstruction
from invgen.pipeline.truth import Truth
from invgen.pipeline.values import select

__all__ = ["SHOWN", "draw_slices"]

#: The largest number of slices that are shown where none are chosen.
SHOWN = 8

#: An image, shape (H, W) or (3, H, W), and its title.
_Panel = tuple[torch.Tensor, str]


def draw_slices(
    path: Path,
    output: Path,
    *,
    slices: slice | None = None,
    window: tuple[float, float] | None = None,
    compare: Path | None = None,
    phase: bool = False,
    frame: int = 0,
) -> None:
    """Draw slices of a reconstruction as a PNG picture, with a bar for the values and one for the size.

    Of samples of a posterior it is their mean, and their standard deviation beside it, or half of calibrated
    intervals, where there are some; with a learned prior also the map of where it did not expect the image,
    and the p-value of the slice.

    Parameters
    ----------
    path : Path
        What `invgen recon` wrote.
    output : Path
        The picture.
    slices : slice, optional
        Of the file; by default at most `SHOWN`, evenly spaced.
    window : (float, float), optional
        Values shown as black and white; by default nearly all that occur.
    compare : Path, optional
        Another reconstruction of the same slices, shown beside, or a scan with its truth or a reference, or
        true images.
        Titles then have PSNR (dB) and SSIM.
    phase : bool
        Show the phase of MRI, in radians, rather than its magnitude.
    frame : int
        Of several in the file; of another reconstruction beside it the same.

    Raises
    ------
    FileError, ParameterError, ShapeError
        For what cannot be shown so.
    """
    check_output(output, path, compare)
    with open_reconstruction(path, frame) as file:
        check_output(output, file.source)  # of the truth beside a comparison
        if phase and (compare is not None or not file.is_complex):
            raise ParameterError(
                "--phase shows the phase of an MRI reconstruction; leave out --compare."
                if file.is_complex
                else f"{path} holds real images, without a phase: leave out --phase."
            )
        indices: Sequence[int] = select(slices, len(file.volume), "slices")
        if slices is None and len(indices) > SHOWN:
            indices = [round(i * (len(indices) - 1) / (SHOWN - 1)) for i in range(SHOWN)]
        if compare is None:
            name = "image" if _is_of_images(file) else "slice"
            panels, columns = [(_image(file, i, phase), f"{name} {_row(file, i)}") for i in indices], 4
        else:
            panels, columns = _compared(file, indices, compare)
        images, titles = [image for image, _ in panels], [title for _, title in panels]
        about: dict[str, Any] = {
            "pixel_size": file.pixel_size,
            "unit": file.unit,
            "window": window,
            "label": _label(file, phase),
            "aspect": file.pixel_height / file.pixel_size,
        }
        alone = compare is None and not phase
        stds, spread = _spreads(file, indices) if alone else (None, "")
        maps = _maps(file, indices) if alone else None
        if maps is not None:
            titles = [f"{title}{_judgement(file, i)}" for title, i in zip(titles, indices, strict=True)]
            figure = figures.plausibility(images, stds, maps, titles, spread=spread, **about)
        elif stds is None:
            figure = figures.montage(images, titles, columns=columns, **about)
        else:
            figure = figures.uncertainty(images, stds, titles, spread=spread, **about)
    figures.save(figure, output)


def _compared(file: Reconstructed, indices: Sequence[int], path: Path) -> tuple[list[_Panel], int]:
    """Lay out a row of panels for each slice; returned with their number in a row."""
    with ExitStack() as stack:
        other: Reconstructed | None = None
        truth: Truth | None = None
        try:
            other = stack.enter_context(open_reconstruction(path, file.frame))
        except FileError:
            truth = stack.enter_context(Truth(path))
        else:
            if _has_truth(file):
                with suppress(FileError):  # a real scan, or one that is no longer there
                    truth = stack.enter_context(Truth(file.source))
        shape = file.volume.shape[1:]
        if truth is not None and truth.shape != shape:
            if other is None:
                of_ct = not file.is_complex and not _is_of_images(file)
                remedy = f": reconstruct with --size {truth.shape[0]} to compare them" if of_ct else ""
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
        panels: list[_Panel] = []
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
    name = f"{Path(file.volume.file.filename).stem}, slice {row}"
    if truth is None:
        return name
    # of colors, over all channels
    psnr = metrics.psnr(image.reshape(-1, image.shape[-1]), truth.reshape(-1, truth.shape[-1]))
    return f"{name}\n{psnr:.1f} dB, SSIM {metrics.ssim(image, truth).mean():.3f}"


def _image(file: Reconstructed, index: int, phase: bool = False) -> torch.Tensor:
    """A real image: of a complex one, the modulus or the phase."""
    image = torch.from_numpy(file.volume[index])
    if not file.is_complex:
        return image
    return image.angle() if phase else image.abs()


def _spreads(file: Reconstructed, indices: Sequence[int]) -> tuple[list[torch.Tensor] | None, str]:
    """Half of calibrated intervals, else standard deviations of samples, or None; and what it is."""
    found, name = file.intervals, "standard deviation"
    if found is not None and found.of_pixels:
        stds = [torch.from_numpy(found.upper[i] - found.lower[i]) / 2 for i in indices]
        name = f"half of the {100 * found.level:g} % interval"
        if not any(bool(std.isfinite().any()) for std in stds):  # the calibration is of other slices
            return None, name
    elif file.posterior is None or file.posterior.std is None:
        return None, name
    else:
        stds = [torch.from_numpy(file.posterior.std[i]) for i in indices]
    # of colors, over all channels
    return [std if std.ndim == 2 else std.square().mean(0).sqrt() for std in stds], name


def _maps(file: Reconstructed, indices: Sequence[int]) -> list[torch.Tensor] | None:
    """Maps of plausibility of slices; None where there are none."""
    shown = None if file.plausible is None else file.plausible.map
    return None if shown is None else [torch.from_numpy(shown[i]) for i in indices]


def _judgement(file: Reconstructed, index: int) -> str:
    """The p-value of a slice, for its title."""
    p = None if file.plausible is None else file.plausible.deciding(index)
    return "" if p is None else f", p = {p:.2g}"


def _label(file: Reconstructed, phase: bool) -> str:
    if _is_of_images(file):
        return "value"
    if not file.is_complex:
        return f"attenuation (1/{file.unit})"
    return "phase (radians)" if phase else "magnitude"


def _is_of_images(file: Reconstructed) -> bool:
    """Whether images were restored, rather than a scan reconstructed."""
    return "operator" in (file.settings.get("reading") or {})


def _has_truth(file: Reconstructed) -> bool:
    """Whether what the file was made of may hold the truth: of images, where they were measured first."""
    return not _is_of_images(file) or "simulate" in file.settings["reading"]


def _row(file: Reconstructed, index: int) -> int:
    """Slice of the scan that a slice of the file was made of."""
    return file.settings["rows"][index]


def _index(file: Reconstructed, row: int) -> int:
    if row not in file.settings["rows"]:
        raise ParameterError(
            f"{file.volume.file.filename} has no slice {row} of the scan; choose others by --slices."
        )
    return file.settings["rows"].index(row)
