"""Import time, and memory of the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Report


def package(report: Report) -> None:
    """Import time, and peak memory of the command line."""
    for what in ("invgen", "invgen.solvers"):
        code = f"import time, torch; t = time.perf_counter(); import {what}; print(time.perf_counter() - t)"
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(5)
        ]
        more = statistics.median(float(run.stdout) for run in runs)
        report.row(f"`import {what}` beyond `import torch`", f"{more:.3f} s", "0.3 s", more <= 0.3)
    with tempfile.TemporaryDirectory() as folder:
        peaks = {}
        for slices in (16, 256):
            scan = Path(folder) / f"{slices}.h5"
            size = ["--size", "512", "--views", "360", "--slices", str(slices)]
            simulate = ["simulate", "ct", "shepp-logan", "-o", str(scan), *size]
            subprocess.run([sys.executable, "-m", "invgen.cli", *simulate], check=True, capture_output=True)
            recon = ["recon", str(scan), "-o", str(Path(folder) / "out.h5"), "--solver", "fbp"]
            measure = (
                "import resource, subprocess, sys; "
                "command = [sys.executable, '-m', 'invgen.cli', *sys.argv[1:]]; "
                "subprocess.run(command, check=True, capture_output=True); "
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            )
            done = subprocess.run([sys.executable, "-c", measure, *recon], check=True, capture_output=True)
            peaks[slices] = int(done.stdout) / 1024
    ratio = peaks[256] / peaks[16]
    report.row(
        "peak memory of `invgen recon`, 512x512, 360 views, 16 and 256 slices",
        f"{peaks[16]:.0f} MiB and {peaks[256]:.0f} MiB, ratio {ratio:.2f}",
        "within 10 %",
        abs(ratio - 1) <= 0.1,
    )
