"""Large scans: slices in a second, hours of a volume of 4096^3 voxels, memory over hours, single precision.

python -m benchmarks.scale [throughput] [projection] [drift] [loop]
"""

from __future__ import annotations

from benchmarks.report import run
from benchmarks.scale.drift import drift
from benchmarks.scale.loop import loop
from benchmarks.scale.projection import projection
from benchmarks.scale.throughput import throughput

if __name__ == "__main__":  # worker processes import this file, too
    run(throughput, projection, drift, loop)
