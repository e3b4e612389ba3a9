"""Images tested under a prior: a table of their p-values, and a picture of the most anomalous."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invgen import priors
from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.core.files import atomic_path
from invgen.figures import layout, montage
from invgen.io import read_images
from invgen.pipeline.outputs import check_output
from invgen.pipeline.sampling import window_of
from invgen.plausibility import AnomalyDetector
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["Checked", "check_images"]

#: Images in the picture, and those whose statistics are computed between two reports of progress.
_SHOWN, _PART = 16, 64


@dataclass(frozen=True)
class Checked:
    """Images and how anomalous they are.

    Attributes
    ----------
    statistic : str
        Its name.
    calibration : int
        Number of calibration statistics.
    values : tensor, float64, shape (n,)
        The statistic of each image, larger for what is more anomalous.
    p_values : tensor, float64, shape (n,)
    discovered : bool tensor, shape (n,)
        Which are discoveries at the level.
    order : tensor of int, shape (n,)
        Numbers of the images in the file, from the most anomalous on.
    """

    statistic: str
    calibration: int
    values: Tensor
    p_values: Tensor
    discovered: Tensor
    order: Tensor

    def rows(self) -> list[dict[str, Any]]:
        """Number, p-value and statistic of each image, and whether it is a discovery, in that order."""
        return [
            {
                "image": i,
                "p_value": float(self.p_values[i]),
                "statistic": float(self.values[i]),
                "discovered": bool(self.discovered[i]),
            }
            for i in self.order.tolist()
        ]


def check_images(
    images: Path,
    prior: str,
    *,
    calibration: Path | None = None,
    statistic: str | None = None,
    level: float = 0.05,
    output: Path | None = None,
    picture: Path | None = None,
    dataset: str | None = None,
    gray: bool = False,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Checked:
    """Test images for anomalies, and write what was found.

    Parameters
    ----------
    images : Path
        As `invgen.io.read_images` takes it.
    prior : str
        Name of a prior that comes with the package, or a file of one.
    calibration : Path, optional
        Images like those expected, that the prior has not learned from; by default the statistics in its
        file.
    statistic : str, optional
        Of `invgen.plausibility.anomaly.STATISTICS`; by default the one that is recommended for the prior.
    level : float
        False discovery rate.
    output : Path, optional
        Table of all images, .csv or .json.
    picture : Path, optional
        PNG of the most anomalous ones.
    dataset : str, optional
        Array of the images, in files that hold several.
    gray : bool
        Make colors gray.
    advance : callable(int, int)
        Called with the number of images that were tested, and that of all.

    Raises
    ------
    FileError, ShapeError, DtypeError, DataError
        For files and images that are not those of the prior, and calibration images it has learned from.
    CapabilityError, ParameterError
        For a statistic that the prior is not made for, and too few calibration images for the level.
    """
    given = [path for path in (images, Path(prior), calibration) if path is not None]
    for path, suffixes in ((output, (".csv", ".json")), (picture, (".png",))):
        if path is not None:
            if path.suffix.lower() not in suffixes:
                raise ParameterError(f"{path} is written as {' or '.join(suffixes)}: give such a name.")
            check_output(path, *given)
    if calibration is not None and _same(calibration, images):
        raise ParameterError(
            f"{calibration} holds the images to be tested: calibration images are others, of the kind that "
            "is expected."
        )
    model = priors.load(prior)
    known = format_of(model)
    x = _read(images, known, dataset, gray)
    held_out = None if calibration is None else _read(calibration, known, dataset, gray)
    detector = AnomalyDetector(model, held_out, statistic)
    if detector.kind.group > 1:
        raise ParameterError(f"{detector.kind.name} is of groups of images, and tests none by itself.")
    detector.check_level(level)
    values = []
    for part in x.split(_PART):
        values.append(detector.statistic(part))
        advance(sum(map(len, values)), len(x))
    found = _judged(detector, torch.cat(values), level)
    if output is not None:
        _write(output, found, {"prior": prior, "level": level})
    if picture is not None:
        _draw(picture, found, x, None if known.value_range is None else window_of(model))
    return found


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)


def _read(path: Path, known: ImageFormat, dataset: str | None, gray: bool) -> Tensor:
    """Images of one size, with the axis of channels that the prior has."""
    images = read_images(path, dataset=dataset, gray=gray)
    if not images:
        raise FileError(f"{path} holds no images.")
    sizes = sorted({image.shape for image in images})
    if len(sizes) > 1:
        shown = ", ".join("x".join(map(str, size)) for size in sizes[:3]) + ", ..." * (len(sizes) > 3)
        raise ShapeError(f"{path} holds images of several sizes, {shown}; they are tested at one size.")
    x = torch.from_numpy(np.stack(images))
    if x.ndim == 4 and known.axes == 2:
        raise ShapeError(f"{path} holds images in color, and the prior is one of gray images: give --gray.")
    return x[:, None] if known.channels == 1 and x.ndim == 3 else x


def _judged(detector: AnomalyDetector, values: Tensor, level: float) -> Checked:
    p_values = detector.p_value_of(values)
    # equal p-values by the statistic
    by_value = values.argsort(descending=True, stable=True)
    order = by_value[p_values[by_value].argsort(stable=True)]
    discovered = detector.discoveries(p_values, level)
    return Checked(detector.kind.name, len(detector.calibration), values, p_values, discovered, order)


def _write(path: Path, found: Checked, about: dict[str, Any]) -> None:
    rows = found.rows()
    with atomic_path(path) as beside:
        if path.suffix.lower() == ".json":
            about |= {"statistic": found.statistic, "calibration": found.calibration, "images": rows}
            beside.write_text(json.dumps(about, indent=1) + "\n")
        else:
            with beside.open("w", newline="") as file:
                table = csv.DictWriter(file, rows[0], lineterminator="\n")
                table.writeheader()
                table.writerows(rows)


def _draw(path: Path, found: Checked, images: Tensor, window: tuple[float, float] | None) -> None:
    shown = found.order[:_SHOWN].tolist()
    titles = [f"image {i}: p = {float(found.p_values[i]):.2g}" for i in shown]
    pictures = [(images[i].abs() if images.is_complex() else images[i]) for i in shown]
    squeezed = [each[0] if each.ndim == 3 and len(each) == 1 else each for each in pictures]
    layout.save(montage(squeezed, titles, window=window), path)
