"""Scans in, reconstructions out: ``open_scan(path).problem(slice)`` is a `Problem`."""

from __future__ import annotations

from invgen.io.center import CenterEstimate, find_center
from invgen.io.output import Reconstructed, ReconstructionWriter, read_reconstruction
from invgen.io.preprocess import (
    Bin,
    Center,
    DeadPixels,
    DropBadFrames,
    FlatField,
    MinusLog,
    Projections,
    SelectViews,
    Stripes,
    Zingers,
    default_steps,
)
from invgen.io.reading import open_scan
from invgen.io.scan import Scan, to_operator, to_problem
from invgen.io.truncation import Truncation, truncation

__all__ = [
    "Bin",
    "Center",
    "CenterEstimate",
    "DeadPixels",
    "DropBadFrames",
    "FlatField",
    "MinusLog",
    "Projections",
    "Reconstructed",
    "ReconstructionWriter",
    "Scan",
    "SelectViews",
    "Stripes",
    "Truncation",
    "Zingers",
    "default_steps",
    "find_center",
    "open_scan",
    "read_reconstruction",
    "to_operator",
    "to_problem",
    "truncation",
]
