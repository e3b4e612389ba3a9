"""The package on a GPU: every figure beside ASTRA's, cuFINUFFT's and packages on PyTorch, in eight minutes.

    python -m benchmarks.gpu [--quick] [section ...]

Without a GPU everything runs once, of tiny sizes, in Triton's interpreter; then, but with ``--quick``, what
calls of full size would do is counted, and the time is printed that an H100 is expected to take at the least.
"""

from __future__ import annotations

import argparse
import os
import sys

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # chosen before Triton is imported

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.magnetic_resonance import cartesian, noncartesian
from benchmarks.gpu.memory import dual, wavelets
from benchmarks.gpu.sampling import options, overhead
from benchmarks.gpu.tomography import cone, fan, filtered, parallel

_SECTIONS = {
    section.__name__: section
    for section in (
        *(parallel, fan, cone, filtered, cartesian, noncartesian),
        *(dual, wavelets, overhead, options),
    )
}


def main(words: list[str] | None = None) -> int:
    """Run the sections that the command line names, or all; 1 where a figure is missed or a row fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *_SECTIONS], metavar="section")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    asked = parser.parse_args(words)
    there = torch.cuda.is_available()
    passes = [Bench(tiny=asked.quick or not there, execute=True)]
    if not there and not asked.quick:
        passes.append(Bench(tiny=False, execute=False))
    for bench in passes:
        bench.title()
        with bench:
            for name in asked.sections or _SECTIONS:
                if bench.over:
                    bench.note(name, "not run: seven minutes are over")
                elif bench is passes[-1] or name not in ("overhead", "options"):  # which are counted in small
                    _SECTIONS[name](bench)
    return int(any(bench.failed for bench in passes))


if __name__ == "__main__":
    sys.exit(main())
