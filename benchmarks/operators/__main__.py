"""What closed-form solves of imaging and sensing operators cost.

    python -m benchmarks.operators

Operators beside those of other packages are the suite `operators` of ``invgen bench``.
"""

from __future__ import annotations

from benchmarks.operators.closed_forms import solve
from benchmarks.report import run

run(solve)
