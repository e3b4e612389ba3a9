"""What closed-form solves of imaging and sensing operators cost; other packages: `invgen bench operators`.

python -m benchmarks.operators [section ...]
"""

from __future__ import annotations

from benchmarks.operators.closed_forms import solve
from benchmarks.report import run

run(solve)
