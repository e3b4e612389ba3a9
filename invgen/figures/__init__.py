"""Figures of images and reconstructions, for files: without windows and matplotlib's global state."""

from invgen.figures.ct import comparison
from invgen.figures.grid import save_grid
from invgen.figures.interpolation import interpolate
from invgen.figures.layout import save
from invgen.figures.montage import montage
from invgen.figures.mri import error_maps
from invgen.figures.plausibility import plausibility
from invgen.figures.uncertainty import uncertainty

__all__ = [
    "comparison",
    "error_maps",
    "interpolate",
    "montage",
    "plausibility",
    "save",
    "save_grid",
    "uncertainty",
]
