"""A first look at a scan: a few slices of low resolution, by a direct method, in seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from invgen.io import MeasuredImages, MRIScan, Scan
from invgen.pipeline.recipe import Recipe

__all__ = ["previewed"]

#: Slices of a preview, and detector columns: of a cone beam, whose slices are reconstructed together, fewer.
_SLICES, _COLUMNS, _OF_A_CONE = 16, 256, 128


def previewed(scan: Scan | MRIScan | MeasuredImages, recipe: Recipe) -> Recipe:
    """The recipe that `--preview` stands for on a scan; what is given with it stays.

    At most 16 slices evenly apart, reconstructed by the direct method. Of CT, pixels of the detector are
    averaged until it has at most 256 columns (of a cone beam 128), and as many views are taken, evenly apart,
    as such a detector needs. Of MRI the slices have all their pixels: one costs no more than a few Fourier
    transforms.

    Parameters
    ----------
    scan : Scan, MRIScan or MeasuredImages
    recipe : Recipe
        One without `preview` is returned as it is, and so is any of images, which have no direct method.
    """
    if not recipe.preview or isinstance(scan, MeasuredImages):
        return recipe
    chosen: dict[str, Any] = {"preview": False}
    if isinstance(scan, MRIScan):
        count = scan.slices * (scan.image_shape[0] if len(scan.image_shape) == 3 else 1)
        chosen["solver"] = recipe.solver or "rss"
    else:
        chosen["solver"] = recipe.solver or "fbp"
        chosen |= _coarse(scan, recipe)
        count = scan.slices // chosen.get("bin", recipe.bin) or 1
        if scan.geometry == "fan":  # rows of which are not averaged
            count = scan.slices
    if recipe.slices is None and count > _SLICES:
        step = math.ceil(count / _SLICES)
        chosen["slices"] = slice(step // 2, None, step)
    return replace(recipe, **chosen)


def _coarse(scan: Scan, recipe: Recipe) -> dict[str, Any]:
    """Bins, an image of as much as before in its larger pixels, and the views that it needs."""
    found: dict[str, Any] = {}
    cone = scan.geometry == "cone"
    bin = recipe.bin
    if bin == 1:
        bin = math.ceil(scan.columns / (_OF_A_CONE if cone else _COLUMNS))
        bin = min(bin, scan.slices) if cone else bin
        found["bin"] = bin
        if recipe.image_size is not None and bin > 1:
            height, width = (math.ceil(side / bin) for side in recipe.image_size)
            found["size"] = (height, width)
        if recipe.roi is not None:
            found["roi"] = tuple(_coarser(part, bin) for part in recipe.roi)
        rows = 1 if scan.geometry == "fan" else min(bin, scan.slices)
        if recipe.slices is not None:
            found["slices"] = _coarser(recipe.slices, rows)
    if recipe.views is None and recipe.angles_range is None and scan.has_angles:
        # pi / 2 views of a half turn for each column sample the image evenly
        half_turns = max(1.0, float(np.ptp(scan.angles)) / math.pi)
        step = int(scan.views / (math.pi / 2 * half_turns * (scan.columns // bin)))
        if step > 1:
            found["views"] = slice(None, None, step)
    return found


def _coarser(part: slice, bin: int) -> slice:
    """The pixels, or slices, `bin` times as wide, in which those of a range are."""
    start = None if part.start is None else part.start // bin
    step = None if part.step is None else max(1, part.step // bin)
    return slice(start, None if part.stop is None else math.ceil(part.stop / bin), step)
