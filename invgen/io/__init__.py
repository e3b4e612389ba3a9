"""Scans in, reconstructions out: ``open_scan(path).problem(slice)`` is a `Problem`."""

from __future__ import annotations

from invgen.io.ct.beam import Beam
from invgen.io.ct.center import CenterEstimate, find_center
from invgen.io.ct.coverage import Coverage, coverage
from invgen.io.ct.phase import Paganin
from invgen.io.ct.preprocess import (
    STRIPE_FILTERS,
    Air,
    Bin,
    Center,
    DeadPixels,
    DeadStripes,
    DropBadFrames,
    FlatField,
    LargeStripes,
    MinusLog,
    Projections,
    SelectViews,
    StripeFiltering,
    StripeFitting,
    StripeSorting,
    Zingers,
    default_steps,
)
from invgen.io.ct.problems import to_operator, to_problem
from invgen.io.ct.scan import Scan
from invgen.io.ct.selection import Selection
from invgen.io.ct.truncation import Truncation, truncation
from invgen.io.ct.volume import Panel, to_volume_operator, to_volume_problem
from invgen.io.images import is_nifti, is_picture, read_images, read_labels, read_pixels
from invgen.io.measured import MeasuredImages, open_images
from invgen.io.mri.contents import KSpace
from invgen.io.mri.scan import MRIScan
from invgen.io.output import Reconstructed, ReconstructionWriter, bytes_per_pixel, read_reconstruction
from invgen.io.placement import Placement
from invgen.io.reading import open_scan
from invgen.io.writing import IMAGE_FORMATS, format_of

__all__ = [
    "IMAGE_FORMATS",
    "STRIPE_FILTERS",
    "Air",
    "Beam",
    "Bin",
    "Center",
    "CenterEstimate",
    "Coverage",
    "DeadPixels",
    "DeadStripes",
    "DropBadFrames",
    "FlatField",
    "KSpace",
    "LargeStripes",
    "MRIScan",
    "MeasuredImages",
    "MinusLog",
    "Paganin",
    "Panel",
    "Placement",
    "Projections",
    "Reconstructed",
    "ReconstructionWriter",
    "Scan",
    "SelectViews",
    "Selection",
    "StripeFiltering",
    "StripeFitting",
    "StripeSorting",
    "Truncation",
    "Zingers",
    "bytes_per_pixel",
    "coverage",
    "default_steps",
    "find_center",
    "format_of",
    "is_nifti",
    "is_picture",
    "open_images",
    "open_scan",
    "read_images",
    "read_labels",
    "read_pixels",
    "read_reconstruction",
    "to_operator",
    "to_problem",
    "to_volume_operator",
    "to_volume_problem",
    "truncation",
]
