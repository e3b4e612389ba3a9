"""How long a volume of 4096^3 voxels takes on many workers.

python -m benchmarks.scale [projection]
"""

from __future__ import annotations

from benchmarks.report import run
from benchmarks.scale.drift import drift
from benchmarks.scale.projection import projection

if __name__ == "__main__":  # worker processes import this file, too
    run(projection, drift)
