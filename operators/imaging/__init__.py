"""Imaging and sensing: masks, colors, resampling, blurs."""

from invgen.operators.imaging.mask import Mask

__all__ = ["Mask"]
