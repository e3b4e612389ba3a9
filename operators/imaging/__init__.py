"""Imaging and sensing: masks, colors, resampling, blurs."""

from invgen.operators.imaging.blur import Blur
from invgen.operators.imaging.downsample import Downsample
from invgen.operators.imaging.grayscale import Grayscale
from invgen.operators.imaging.mask import Mask

__all__ = ["Blur", "Downsample", "Grayscale", "Mask"]
