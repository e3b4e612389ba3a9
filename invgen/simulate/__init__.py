"""Simulated raw scans of a known object: what a scanner would write, and the truth beside it."""

from invgen.simulate.ct import simulate_ct
from invgen.simulate.geometry import Geometry
from invgen.simulate.mri import simulate_mri
from invgen.simulate.readouts import Sampling
from invgen.simulate.scene import Source
from invgen.simulate.signal import MRISource

__all__ = ["Geometry", "MRISource", "Sampling", "Source", "simulate_ct", "simulate_mri"]
