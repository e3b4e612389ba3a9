"""A slice through a head, as magnetic resonance shows it."""

from __future__ import annotations

import math

import torch

from invgen.phantoms.ellipses import Ellipses
from invgen.phantoms.objects import check_size

__all__ = ["head"]

# Relative signal of a T2-weighted image: fluid is bright, white matter darker than gray, bone nearly black.
_FAT, _BONE, _FLUID, _GRAY, _WHITE = 0.7, 0.05, 1.0, 0.6, 0.42

# Layers from the skin inwards: signal and semi-axes.
_LAYERS = (
    (_FAT, 0.74, 0.92),
    (_BONE, 0.70, 0.875),
    (_FLUID, 0.655, 0.83),
    (_GRAY, 0.635, 0.81),
    (_WHITE, 0.58, 0.755),
)

# Structures in the white matter of the right half, to be mirrored: signal, center, semi-axes, rotation in
# degrees. Frontal and occipital horns of the ventricles, caudate nucleus, putamen and thalamus.
_PAIRS = (
    (_FLUID, 0.095, 0.19, 0.035, 0.15, -16.0),
    (_FLUID, 0.125, -0.27, 0.032, 0.13, 14.0),
    (_GRAY, 0.175, 0.20, 0.030, 0.11, -14.0),
    (_GRAY, 0.265, 0.02, 0.045, 0.13, -6.0),
    (_GRAY, 0.095, -0.06, 0.055, 0.075, 20.0),
)
# On the midline: the fissure in front and behind, and the third ventricle.
_MIDDLE = (
    (_FLUID, 0.0, 0.60, 0.010, 0.13),
    (_FLUID, 0.0, -0.60, 0.010, 0.13),
    (_FLUID, 0.0, -0.03, 0.012, 0.08),
)
_FOLDS = 30
_SPOTS = (0.03, 0.024, 0.02, 0.017, 0.014, 0.012, 0.01, 0.01)  # radii


def head(seed: int = 0, half_width: float = 1.0) -> Ellipses:
    """Build a slice through a head: scalp, skull, folded cortex, ventricles, nuclei, and small lesions.

    The signal is that of a T2-weighted image, from 0 to 1, and no two structures of a layer overlap. Lesions
    and vessels down to a hundredth of the half width test the resolution.

    Parameters
    ----------
    seed : int
        Determines folds, lesions and vessels.
    half_width : float
        Half the side of the square field around the head, in length units.
    """
    check_size(half_width=half_width)
    random = torch.Generator().manual_seed(seed)
    rows: list[tuple[float, ...]] = []
    below = 0.0
    for signal, a, b in _LAYERS:
        rows.append((signal - below, 0.0, 0.0, a, b, 0.0))
        below = signal
    for signal, x, y, a, b, degrees in _PAIRS:
        for side in (1, -1):
            rows.append((signal - _WHITE, side * x, y, a, b, side * math.radians(degrees)))
    rows += [(signal - _WHITE, x, y, a, b, 0.0) for signal, x, y, a, b in _MIDDLE]
    rows += _cortex(random)
    rows += _spots(random)
    return Ellipses(*torch.tensor(rows, dtype=torch.float64).T).scaled(length=half_width)


def _cortex(random: torch.Generator) -> list[tuple[float, ...]]:
    """Folds of gray matter that reach inwards from the cortex, each with a sulcus of fluid in its middle."""
    _, a, b = _LAYERS[-1]
    rows: list[tuple[float, ...]] = []
    for fold in range(_FOLDS):
        jitter, depth = torch.rand(2, generator=random, dtype=torch.float64).tolist()
        t = 2 * math.pi * (fold + 0.2 * (jitter - 0.5)) / _FOLDS
        length = 0.05 + 0.035 * depth
        middle = 1 - (length + 0.012) / min(a, b)  # within the white matter, which it replaces
        x, y = middle * a * math.cos(t), middle * b * math.sin(t)
        turn = math.atan2(a * math.sin(t), b * math.cos(t))  # across the layers
        rows.append((_GRAY - _WHITE, x, y, length, 0.028, turn))
        rows.append((_FLUID - _GRAY, x, y, 0.8 * length, 0.008, turn))
    return rows


def _spots(random: torch.Generator) -> list[tuple[float, ...]]:
    """Lesions, bright, and vessels, dark, where there is nothing but white matter."""
    _, a, b = _LAYERS[-1]
    rows: list[tuple[float, ...]] = []
    for i, radius in enumerate(_SPOTS):
        jitter = float(torch.rand((), generator=random, dtype=torch.float64))
        t = 2 * math.pi * (i + 0.5 + 0.4 * (jitter - 0.5)) / len(_SPOTS)
        x, y = 0.62 * a * math.cos(t), 0.62 * b * math.sin(t)  # between the nuclei and the cortex
        rows.append((0.35 if i % 4 < 2 else -0.3, x, y, radius, radius, 0.0))
    return rows
