"""From a scan to a file, without a terminal: what the command line does, for programs.

>>> summary = ig.reconstruct("scan.h5", "image.h5", solver="tv")
>>> summary.solver, summary.seconds
"""

from __future__ import annotations

from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.run import Summary, reconstruct

__all__ = ["Reading", "Recipe", "Summary", "reconstruct"]
