"""A scan's samples of k-space as a drawing of characters, as ``invgen info`` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from invgen.io import KSpace

__all__ = ["draw_sampling"]

_ROWS, _COLUMNS = 15, 40  # characters; each has 4 x 2 dots
_SHOTS = 6


def draw_sampling(kspace: KSpace) -> str:
    """Draw which samples were taken: a dot for each, in the middle of the grid; or the first shots of many.

    Of a volume it is the plane through the middle, across the readout.

    Returns
    -------
    str
        Lines of at most 80 characters.
    """
    if kspace.mask is not None:
        return _grid(kspace.mask.expand(kspace.image_shape).numpy())
    assert kspace.trajectory is not None, "of samples that are on no grid"
    return _shots(kspace.trajectory.numpy()[..., -2:])


def _grid(mask: np.ndarray) -> str:
    import numpy as np

    names = "yx"
    if mask.ndim == 3:  # the readout, which is all sampled or not, is what there is nothing to see along
        full = [bool((mask == mask.take([0], axis)).all()) for axis in range(3)]
        axis = full.index(True) if True in full else 0
        mask, names = mask.take(mask.shape[axis] // 2, axis), "zyx".replace("zyx"[axis], "")
    shape = mask.shape
    # the origin, N // 2, stays in the middle
    cuts = [min(n, m) for n, m in zip(shape, (4 * _ROWS, 2 * _COLUMNS), strict=True)]
    middle = mask[
        tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, cuts, strict=True))
    ]
    part = f"the middle {cuts[0]} x {cuts[1]} of {shape[0]} x {shape[1]} samples"
    legend = f"k-space ({names[0]} down, {names[1]} right), {part if cuts != list(shape) else 'all samples'}"
    return "\n".join([*_braille(np.ascontiguousarray(middle)), "", legend])


def _shots(k: np.ndarray) -> str:
    import numpy as np

    k = k.reshape(-1, *k.shape[-2:])
    drawn = k[:_SHOTS]
    side = min(4 * _ROWS, 2 * _COLUMNS)
    dots = np.zeros((side, side), dtype=bool)
    place = np.clip(np.floor((drawn.reshape(-1, 2) + 0.5) * side), 0, side - 1).astype(int)
    dots[place[:, 0], place[:, 1]] = True
    legend = f"k-space (y down, x right), {len(drawn)} of {len(k)} shots"
    return "\n".join([*_braille(dots), "", legend])


def _braille(dots: np.ndarray) -> list[str]:
    """Write dots as characters of 4 x 2 of them."""
    import numpy as np

    height, width = (-(-n // m) * m for n, m in zip(dots.shape, (4, 2), strict=True))
    padded = np.zeros((height, width), dtype=bool)
    padded[: dots.shape[0], : dots.shape[1]] = dots
    cells = padded.reshape(height // 4, 4, width // 2, 2).transpose(0, 2, 1, 3).reshape(height // 4, -1, 8)
    # Unicode numbers the six upper dots down the columns, and the two lowest last
    bits = np.array([0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80])
    return ["".join(chr(0x2800 + code) for code in row) for row in (cells @ bits).tolist()]
