"""The steps from raw projections to line integrals, each a callable ``Projections -> Projections``."""

from __future__ import annotations

from typing import Literal

from invgen.io.ct.air import Air
from invgen.io.ct.center import Center
from invgen.io.ct.defects import DeadPixels, DropBadFrames, Zingers
from invgen.io.ct.flatfield import FlatField, MinusLog
from invgen.io.ct.projections import Bin, Projections, Quantity, SelectViews, Step
from invgen.io.ct.stripes import (
    STRIPE_FILTERS,
    DeadStripes,
    LargeStripes,
    StripeFiltering,
    StripeFitting,
    StripeSorting,
)

__all__ = [
    "STRIPE_FILTERS",
    "Air",
    "Bin",
    "Center",
    "DeadPixels",
    "DeadStripes",
    "DropBadFrames",
    "FlatField",
    "LargeStripes",
    "MinusLog",
    "Projections",
    "SelectViews",
    "Step",
    "StripeFiltering",
    "StripeFitting",
    "StripeSorting",
    "Zingers",
    "default_steps",
]


def default_steps(
    quantity: Quantity, bin: int = 1, air: Literal["auto", "off"] | tuple[tuple[int, int], ...] = "auto"
) -> tuple[Step, ...]:
    """Build the steps from projections of a quantity to line integrals; binning precedes the logarithm."""
    if quantity == "absorption":
        return DropBadFrames(), Bin(bin)
    division = (DeadPixels(), FlatField()) if quantity == "counts" else ()
    return DropBadFrames(), *division, Air(air), Zingers(), Bin(bin), MinusLog()
