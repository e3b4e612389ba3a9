"""A scan is simulated and reconstructed by several methods, as any user's file is, beside the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from invgen import figures, metrics
from invgen.core.errors import FileError
from invgen.io import MRIScan, Scan, open_scan, read_reconstruction
from invgen.pipeline.outputs import check_output
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe, command_line
from invgen.pipeline.run import Summary
from invgen.pipeline.truth import Truth
from invgen.simulate import simulate_ct, simulate_mri

__all__ = ["Demonstration", "Score", "demonstrate"]

_VIEWS = 60
_COILS, _ACCELERATION = 8, 4
_CT_SOLVERS, _MRI_SOLVERS = ("fbp", "tv"), ("zero-filled", "cg-sense", "tv")

#: Reconstructs a scan into a file by a recipe.
Run = Callable[[Path, Path, Reading, Recipe], Summary]


@dataclass(frozen=True)
class Score:
    """How near a method comes to the truth.

    Attributes
    ----------
    path : Path
        Its reconstruction.
    psnr, ssim : float
    seconds : float
    """

    path: Path
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Demonstration:
    """What was made.

    Attributes
    ----------
    about : str
        The scan, in a few words.
    shape : (int, int)
        Of the images.
    scores : dict from str to Score
        Of each method, by its name; the last is the best.
    picture : Path
    commands : tuple of str
        The same, step by step.
    """

    about: str
    shape: tuple[int, int]
    scores: dict[str, Score]
    picture: Path
    commands: tuple[str, ...]


def demonstrate(
    folder: Path, run: Run, notice: Callable[[str], None], *, mri: bool = False, size: int | None = None
) -> Demonstration:
    """Simulate a scan, reconstruct it and draw the picture.

    Parameters
    ----------
    folder : Path
        For the files; made if it is not there.
    run : callable
        Reconstructs the scan, such as `invgen.pipeline.run.run` does.
    notice : callable(str)
        Called before the simulation.
    mri : bool
        An MRI scan, rather than CT.
    size : int, optional
        Width and height of the image: by default 512, of MRI 256.

    Raises
    ------
    FileError
        Where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder} cannot be made: {error.strerror or error}.") from error
    scan, picture = folder / "scan.h5", folder / "demo.png"
    for path in (
        scan,
        picture,
        *(folder / f"{solver}.h5" for solver in (_MRI_SOLVERS if mri else _CT_SOLVERS)),
    ):
        check_output(path)
    if mri:
        size = size or 256
        about = f"{_COILS} coils, {_ACCELERATION}-fold accelerated"
        notice(f"Simulating a raw MRI scan, {about} ...")
        simulate_mri(scan, "head", size=size, coils=_COILS, acceleration=_ACCELERATION)
        words = f"mri head -o {scan} --size {size} --coils {_COILS} --acceleration {_ACCELERATION}"
        recipes = [Recipe(solver=solver) for solver in _MRI_SOLVERS]
    else:
        size = size or 512
        about = f"{_VIEWS} views"
        notice(f"Simulating a raw CT scan of {about} ...")
        simulate_ct(scan, "foam", size=size, views=_VIEWS)
        words = f"ct foam -o {scan} --size {size} --views {_VIEWS}"
        recipes = [Recipe(solver=solver, size=size) for solver in _CT_SOLVERS]

    with Truth(scan) as truths:
        truth = truths[0]
    commands, scores = [f"invgen simulate {words}"], {}
    for recipe in recipes:
        output = folder / f"{recipe.solver}.h5"
        seconds = run(scan, output, Reading(), recipe).seconds
        image = _image(output)
        psnr, ssim = metrics.psnr(image, truth), metrics.ssim(image, truth)
        scores[output.stem.upper()] = Score(output, float(psnr), float(ssim), seconds)
        commands.append(str(command_line(scan, output, Reading(), recipe)))
    *others, best = (score.path for score in scores.values())
    commands.append(f"invgen view {best} -o {folder / 'view.png'} --compare {others[-1]}")
    files = {name: score.path for name, score in scores.items()}
    (_mri_picture if mri else _ct_picture)(scan, files, truth, picture)
    height, width = truth.shape
    return Demonstration(about, (height, width), scores, picture, tuple(commands))


def _image(path: Path) -> torch.Tensor:
    """The first slice, of MRI its modulus."""
    with read_reconstruction(path) as file:
        image = torch.from_numpy(file.volume[0])
    return image.abs() if image.is_complex() else image


def _ct_picture(scan: Path, files: dict[str, Path], truth: torch.Tensor, picture: Path) -> None:
    """Draw the sinogram, the reconstructions and the truth."""
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
