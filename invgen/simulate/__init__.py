"""Raw CT scans made up from an object that is known: what a beamline would write, and the truth beside it."""

from invgen.simulate.ct import simulate_ct
from invgen.simulate.geometry import Geometry
from invgen.simulate.scene import Source

__all__ = ["Geometry", "Source", "simulate_ct"]
