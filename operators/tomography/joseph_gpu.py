"""Joseph's projector for rays in a plane, for GPUs: of parallel beams, and by the same kernels of fans.

Both directions are gathers: a program adds up along some neighboring rays of neighboring views, or in a tile
of pixels over all views. Where a ray is on a line is a sum of whole numbers, see `Tracks`, which both
evaluate: one is the transpose of the other, to the rounding of the sums. The pixels of a batch lie side by
side, so that whole lines of the cache are read, and each place is found once for up to 32 images.

Per call, for n rays that cross l lines, of b images: each sample is two loads, four operations, and about 12
on whole numbers for all images. Forward reads the image once for each group of views, and twice more to lay
it out; adjoint each ray's value once for each tile of pixels that the ray meets.
"""

from __future__ import annotations

import torch
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.tomography.rays import ParallelRays, Tracks
from invgen.operators.tomography.tracks import candidates, crossed, share, side_by_side, split, spread, tiles

__all__ = ["adjoint", "backproject", "forward", "project"]

#: Pixels and rays of a batch that are copied at once: memory stays bounded.
_COPIED = 1 << 28


def forward(x: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    return project(x, rays.tracks)


def adjoint(y: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    return backproject(y, rays.tracks, rays.image_shape)


def project(x: torch.Tensor, tracks: Tracks) -> torch.Tensor:
    """Sums along rays of images (batch, H, W), to (batch, views, bins)."""
    height, width = x.shape[1:]
    length = tracks.length.like(x)
    views, bins = length.shape
    start, slope = tracks.start.like(x), tracks.slope.like(x)
    y = x.new_empty(len(x), views, bins)
    size = max(32, _COPIED // (2 * height * width) // 32 * 32)
    for images, out in zip(x.split(size), y.split(size), strict=True):
        # rays along x read the transposed image: neighbors meet neighboring pixels
        both = [side_by_side(part.reshape(len(images), -1)) for part in (images, images.mT)]
        programs, groups, lanes = spread(len(images))
        _project(
            tiles(programs, VIEWS=views, BINS=bins),
            *(torch.stack(both, 1).contiguous(), start, slope, out),
            *(len(images), views, bins, height, width, tracks.bits, groups, lanes),
        )
    return y.mul_(length)


def backproject(y: torch.Tensor, tracks: Tracks, image_shape: tuple[int, int]) -> torch.Tensor:
    """The transpose of `project`."""
    height, width = image_shape
    length = tracks.length.like(y)
    views, bins = length.shape
    start, slope = tracks.start.like(y), tracks.slope.like(y)
    geometry = tracks.views.like(y), tracks.detector.like(y)
    x = y.new_empty(len(y), height, width)
    size = max(32, _COPIED // (views * bins) // 32 * 32)
    for rows, out in zip(y.split(size), x.split(size), strict=True):
        programs, groups, lanes = spread(len(rows))
        _backproject(
            tiles(programs, ROWS=height, COLUMNS=width),
            *(side_by_side((rows * length).flatten(1)).contiguous(), start, slope, *geometry, out),
            *(len(rows), views, bins, height, width, tracks.bits, tracks.curved, groups, lanes),
        )
    return x


@kernel(
    {"VIEWS": 4, "BINS": 32},
    {"VIEWS": 1, "BINS": 128},
    {"VIEWS": 4, "BINS": 8},
    {"VIEWS": 1, "BINS": 32},
    key=("bins", "height", "width", "GROUPS", "LANES"),
)
def _project(
    x,
    start,
    slope,
    y,
    batch,
    views,
    bins,
    height,
    width,
    BITS: tl.constexpr,
    GROUPS: tl.constexpr,
    LANES: tl.constexpr,
    VIEWS: tl.constexpr,
    BINS: tl.constexpr,
):
    """Images `x` (groups, 2, pixels, lanes), the second one transposed, to sums `y` (batch, views, bins)."""
    tiles = tl.cdiv(bins, BINS)
    ray = tl.arange(0, VIEWS * BINS)
    view = tl.program_id(0) // tiles * VIEWS + ray // BINS
    bin = tl.program_id(0) % tiles * BINS + ray % BINS
    exists = (view < views) & (bin < bins)
    ray = view.to(tl.int64) * bins + bin
    pace = tl.load(slope + ray, mask=exists, other=0)
    steep = pace & 1 == 1
    lines, places = tl.where(steep, height, width), tl.where(steep, width, height)
    place = tl.load(start + ray, mask=exists, other=0)
    enter, leave = crossed(place, pace, lines, places, BITS)
    first, last = tl.min(tl.where(exists, enter, height + width)), tl.max(tl.where(exists, leave, 0))

    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)[:, None, None]
    lane = tl.arange(0, LANES)[None, None, :]
    pixels = tl.cast(height, tl.int64) * width
    line = x + (tl.where(steep, 0, pixels) + first.to(tl.int64) * places)[None, :, None] * LANES
    line += group.to(tl.int64) * 2 * pixels * LANES + lane
    place += first * pace
    total = tl.zeros((GROUPS, VIEWS * BINS, LANES), x.dtype.element_ty)
    for i in range(first, last):
        j, part = split(place, BITS, x.dtype.element_ty)
        here = (i < lines) & (j >= 0) & (j < places)
        there = (i < lines) & (j >= -1) & (j + 1 < places)
        pixel = line + j[None, :, None] * LANES
        before = tl.load(pixel, mask=here[None, :, None], other=0)
        after = tl.load(pixel + LANES, mask=there[None, :, None], other=0)
        total += before + part[None, :, None] * (after - before)
        place += pace
        line += places[None, :, None] * LANES
    element = group * LANES + lane
    out = y + element.to(tl.int64) * views * bins + ray[None, :, None]
    tl.store(out, total, mask=exists[None, :, None] & (element < batch))


@kernel(
    {"ROWS": 16, "COLUMNS": 16},
    {"ROWS": 8, "COLUMNS": 16},
    {"ROWS": 8, "COLUMNS": 8},
    {"ROWS": 4, "COLUMNS": 8},
    key=("bins", "height", "width", "GROUPS", "LANES"),
)
def _backproject(
    y,
    start,
    slope,
    directions,
    detector,
    x,
    batch,
    views,
    bins,
    height,
    width,
    BITS: tl.constexpr,
    CURVED: tl.constexpr,
    GROUPS: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Values of rays `y` (groups, rays, lanes) to images `x` (batch, H, W)."""
    tiles = tl.cdiv(width, COLUMNS)
    pixel = tl.arange(0, ROWS * COLUMNS)
    top, left = tl.program_id(0) // tiles * ROWS, tl.program_id(0) % tiles * COLUMNS
    i, j = top + pixel // COLUMNS, left + pixel % COLUMNS
    across, down = j - (width - 1) * 0.5, (height - 1) * 0.5 - i
    middle = left + (COLUMNS - width) * 0.5, (height - ROWS) * 0.5 - top
    radius = ((ROWS - 1) ** 2 + (COLUMNS - 1) ** 2) ** 0.5 / 2

    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)[:, None, None]
    lane = tl.arange(0, LANES)[None, None, :]
    row = y + (group.to(tl.int64) * views * bins * LANES + lane)
    total = tl.zeros((GROUPS, ROWS * COLUMNS, LANES), y.dtype.element_ty)
    for view in range(views):
        nearest, number, _ = candidates(
            across, down, middle[0], middle[1], radius, view, directions, detector, bins, CURVED
        )
        for k in range(number):
            bin = nearest + k
            seen = (bin >= 0) & (bin < bins)
            pace = tl.load(slope + bin, mask=seen, other=0)
            steep = pace & 1 == 1
            place = tl.load(start + bin, mask=seen, other=0) + tl.where(steep, i, j) * pace
            weight = share(place, tl.where(steep, j, i), BITS, y.dtype.element_ty)
            hit = seen & (weight > 0)
            value = tl.load(row + bin[None, :, None] * LANES, mask=hit[None, :, None], other=0)
            total += weight[None, :, None] * value
        start += bins
        slope += bins
        row += bins * LANES
    element = group * LANES + lane
    out = x + element.to(tl.int64) * height * width + (i * width + j)[None, :, None]
    inside = (i < height) & (j < width)
    tl.store(out, total, mask=inside[None, :, None] & (element < batch))
